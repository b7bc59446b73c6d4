"""The fleet as it is now: every machine the inventory knows, with its newest values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_contract.errors import NotFound
from novacron_store.state import Agent, Agents, Inventory
from novacron_store.state.agents import intervals
from novacron_store.state.freshness import DEFAULT_INTERVAL_S, STALE_AFTER_S
from novacron_store.telemetry.builder import Index
from novacron_store.telemetry.queries import FleetRow, fleet_now, sparklines

# Spans of a sparkline and its points: a system that is minutes old shows its minutes.
SPARKLINES = ((timedelta(minutes=15), 30), (timedelta(hours=1), 60), (timedelta(hours=6), 72))
_LEVELS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/"
_GAP = " "
_HYPERVISOR = "libvirt.host.cpu.time"

_PATIENCE = max(3 * DEFAULT_INTERVAL_S, STALE_AFTER_S)  # with senders that tell no interval

Lines = dict[str, list[float | None]]

# The columns of a snapshot that are a machine's newest values, by the name the browser uses.
_VALUES = {
    "cpu": "cpu_utilization",
    "cpus": "cpu_count",
    "memory": "memory_usage",
    "memoryLimit": "memory_limit",
    "received": "network_receive",
    "sent": "network_transmit",
    "read": "disk_read",
    "written": "disk_write",
}


@dataclass(frozen=True, slots=True)
class _Machine:
    """What the inventory and the telemetry know of a machine; `row` None: nothing lately."""

    id: str
    name: str
    kind: str
    host: str
    seen: datetime
    patience: float | None
    row: FleetRow | None

    @property
    def newest(self) -> datetime:
        return max(self.seen, self.row.seen) if self.row else self.seen


@dataclass(frozen=True)
class Fleet:
    inventory: Inventory
    agents: Agents
    telemetry: Callable[[], Client]
    index: Index = field(default_factory=Index)

    def snapshot(self, now: datetime) -> dict[str, Any]:
        """One column per property, one position per machine: half the bytes of 2,000 objects."""
        return {"made": _ms(now), "machines": _columns(self._machines(now))}

    def around(self, entity: str, now: datetime) -> dict[str, Any]:
        """As `snapshot`, of one machine and, where it is a host, its VMs."""
        near = [each for each in self._machines(now) if entity in (each.id, each.host)]
        return {"made": _ms(now), "machines": _columns(near)}

    def hosts(self) -> list[dict[str, str]]:
        return [{"id": host.id, "name": host.name or host.id} for host in self.inventory.hosts()]

    def cpu_sparklines(self, now: datetime) -> dict[str, Any]:
        """Per machine one character for each point; see `encode`."""
        first = [host.first_seen for host in self.inventory.hosts()]
        first += [vm.first_seen for vm in self.inventory.vms()]
        span, points = sparkline_span(now - min(first, default=now))
        ask = partial(self._lines, span, points, now)
        lines = _busy(ask(_HYPERVISOR), ask(_HYPERVISOR, idle=True))
        for entity, idle in ask("system.cpu.utilization", idle=True).items():
            lines[entity] = [None if share is None else 1 - share for share in idle]
        lines |= ask("vm.cpu.utilization")
        encoded = {entity: encode(values) for entity, values in lines.items()}
        return {"start": _ms(now - span), "end": _ms(now), "lines": encoded}

    def _machines(self, now: datetime) -> list[_Machine]:
        client = self.telemetry()
        borders = self.index.progress(client).borders
        rows = {row.entity: row for row in fleet_now(client, now, borders)}
        patience = _patience(self.agents.all())
        machines = [
            _Machine(host.id, host.name, "host", "", host.last_seen, patience.get(host.id), row)
            for host in self.inventory.hosts()
            for row in (rows.pop(host.id, None),)
        ]
        machines += [
            _Machine(vm.id, vm.name, "vm", vm.host_id, vm.last_seen, patience.get(vm.host_id), row)
            for vm in self.inventory.vms()
            for row in (rows.pop(vm.id, None),)
        ]
        # Machines with samples that the inventory does not have yet: it will in a moment.
        machines += [
            _Machine(row.entity, row.entity, row.entity_type, "", row.seen, None, row)
            for row in rows.values()
        ]
        return machines

    def _lines(
        self, span: timedelta, points: int, now: datetime, metric: str, *, idle: bool = False
    ) -> Lines:
        filters = {"cpu.mode": "idle"} if idle else None
        client = self.telemetry()
        try:
            return sparklines(
                client,
                metric,
                now - span,
                now,
                points,
                filters=filters,
                known=self.index.progress(client),
            )
        except NotFound:  # nobody ever sent it
            return {}


def sparkline_span(known: timedelta) -> tuple[timedelta, int]:
    """The shortest span that holds what is known, or the longest one."""
    return next((choice for choice in SPARKLINES if known <= choice[0]), SPARKLINES[-1])


def _busy(every: Lines, idle: Lines) -> Lines:
    """The share of CPU time that was not idle, from the two rates."""
    return {
        entity: [
            None if spent is None or rest is None or spent <= 0 else 1 - rest / spent
            for spent, rest in zip(every[entity], rests, strict=True)
        ]
        for entity, rests in idle.items()
        if entity in every
    }


def encode(values: Iterable[float | None]) -> str:
    """Shares 0…1 as one character each: the line is 24 pixels high, 64 levels are enough."""
    top = len(_LEVELS) - 1
    return "".join(
        _GAP if value is None else _LEVELS[round(min(max(value, 0.0), 1.0) * top)]
        for value in values
    )


def _patience(agents: Iterable[Agent]) -> dict[str, float]:
    """Seconds until a machine of a host counts as stale, by host."""
    rates = intervals(agents)
    return {host: max(3 * interval_s, STALE_AFTER_S) for host, interval_s in rates.items()}


def _columns(machines: Sequence[_Machine]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "id": [each.id for each in machines],
        "name": [each.name or each.id for each in machines],
        "kind": [each.kind for each in machines],
        "host": [each.host for each in machines],
        "seen": [_ms(each.newest) for each in machines],
        "staleAfter": [round(1000 * (each.patience or _PATIENCE)) for each in machines],
        "state": [each.row.state if each.row else "" for each in machines],
    }
    for name, attribute in _VALUES.items():
        value = attrgetter(attribute)
        columns[name] = [_rounded(value(each.row)) if each.row else None for each in machines]
    return columns


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
