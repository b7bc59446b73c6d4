"""Hosts, VMs and agents as the API shows them: the inventory with the newest telemetry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from novacron_collector.api.services import Services
from novacron_contract.metrics import VmState
from novacron_store.state import Agent, Freshness, Host, Vm, freshness
from novacron_store.state.agents import intervals
from novacron_store.telemetry.queries import FleetRow, fleet_now

_NUMBERS = (
    "cpu_utilization",
    "cpu_count",
    "memory_usage",
    "memory_limit",
    "network_receive",
    "network_transmit",
    "disk_read",
    "disk_write",
)


@dataclass(frozen=True)
class Fleet:
    """One look at everything; `rows` is empty where live numbers are not wanted."""

    now: datetime
    hosts: list[Host]
    vms: list[Vm]
    agents: list[Agent]
    rows: Mapping[str, FleetRow]

    @staticmethod
    def look(services: Services, *, live: bool, deleted: bool = False) -> Fleet:
        """With the VMs that are there, or those that were deleted."""
        now, rows = services.now(), list[FleetRow]()
        if live:
            client = services.telemetry()
            rows = fleet_now(client, now, services.index.progress(client).borders)
        return Fleet(
            now,
            services.inventory.hosts(),
            services.inventory.vms(deleted=deleted),
            services.agents.all(),
            {row.entity: row for row in rows},
        )

    def host_rows(self) -> list[dict[str, Any]]:
        rates, vms = intervals(self.agents), Counter(vm.host_id for vm in self.vms)
        return [
            {
                "id": host.id,
                "name": host.name,
                "arch": host.arch,
                "os": host.os,
                "agent": host.agent_id or None,
                "vms": vms[host.id],
                **self._seen(host.first_seen, host.last_seen, rates.get(host.id)),
                **self._live(host.id),
            }
            for host in self.hosts
        ]

    def vm_rows(self) -> list[dict[str, Any]]:
        rates, names = intervals(self.agents), self.host_names()
        return [
            {
                "id": vm.id,
                "name": vm.name,
                "host": {"id": vm.host_id, "name": names.get(vm.host_id, vm.host_id)},
                "provider": vm.provider or None,
                "state": self._state(vm.id),
                "deleted": vm.deleted,
                **self._seen(vm.first_seen, vm.last_seen, rates.get(vm.host_id)),
                **self._live(vm.id),
            }
            for vm in self.vms
        ]

    def agent_rows(self) -> list[dict[str, Any]]:
        names = self.host_names()
        return [
            {
                "id": agent.id,
                "host": {"id": agent.host_id, "name": names.get(agent.host_id, agent.host_id)},
                "version": agent.version,
                "interval_s": agent.interval_s,
                "clock_offset_s": agent.clock_offset_s,
                "clock_is_wrong": agent.clock_is_wrong,
                "last_seen": agent.last_seen,
                "seen_age_s": self._age_s(agent.last_seen),
                "freshness": freshness(agent.last_seen, self.now, agent.interval_s),
            }
            for agent in self.agents
        ]

    def host_names(self) -> dict[str, str]:
        return {host.id: host.name for host in self.hosts}

    def _state(self, vm_id: str) -> str:
        row = self.rows.get(vm_id)
        return (row.state if row else None) or VmState.UNKNOWN

    def _live(self, entity: str) -> dict[str, float | None]:
        row = self.rows.get(entity)
        return {name: getattr(row, name, None) for name in _NUMBERS}

    def _seen(self, first: datetime, last: datetime, interval_s: float | None) -> dict[str, Any]:
        return {
            "first_seen": first,
            "last_seen": last,
            "seen_age_s": self._age_s(last),
            "freshness": freshness(last, self.now, interval_s),
        }

    def _age_s(self, seen: datetime) -> float:
        return max(round((self.now - seen).total_seconds(), 1), 0.0)


def by_freshness(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many there are, and how many of each freshness."""
    counts = Counter(row["freshness"] for row in rows)
    return {"total": counts.total(), **{state.value: counts[state] for state in Freshness}}
