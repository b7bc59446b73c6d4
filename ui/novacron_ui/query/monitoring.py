"""How well a machine is measured: its agent's figures, who does not answer it, what it lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_contract.errors import NotFound
from novacron_contract.metrics import AGENT_METRICS, AGENT_SERVICE_NAME
from novacron_store.state import Agent, Agents, Inventory, VmPeriod
from novacron_store.state.agents import weight
from novacron_store.state.freshness import stale_after_s
from novacron_store.telemetry.builder import Index
from novacron_store.telemetry.queries import (
    Figure,
    Gap,
    Silence,
    figures,
    gaps,
    gaps_since,
    silences,
)
from novacron_store.telemetry.queries.catalog import FRESH_S
from novacron_ui.query.drawing import Range
from novacron_ui.query.panels import REASONS

MAX_GAPS = MAX_GUESTS = 100  # the newest gaps; there are seldom any
FIGURES = tuple(metric.name for metric in AGENT_METRICS if ".gap." not in metric.name)
_A_MINUTE = timedelta(minutes=1)
_RECENTLY = timedelta(seconds=FRESH_S)  # whether guests answer may be told more rarely than figures
_ALWAYS = datetime.min.replace(tzinfo=UTC)
_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Monitoring:
    inventory: Inventory
    agents: Agents
    telemetry: Callable[[], Client]
    index: Index = field(default_factory=Index)

    def of_host(self, host: str, over: Range, now: datetime) -> dict[str, Any]:
        """The agent heard of last tells of itself; what was lost, any agent of the host lost."""
        client = self.telemetry()
        borders = self.index.progress(client).borders
        agents = self._of(host)
        alive = now - _within(agents)
        names = {
            vm.id: vm.name or vm.id
            for vm in self.inventory.vms()
            if vm.host_id == host and vm.last_seen > alive
        }
        told = figures(client, _entity(agents[0]), FIGURES, now, borders) if agents else []
        return {
            "agent": _agent(agents[0]) if agents else None,
            "figures": [_figure(each) for each in told],
            **_silent(silences(client, list(names), now, _RECENTLY, borders, MAX_GUESTS), names),
            **_lost(
                gaps(client, [*map(_entity, agents)], over.start, over.end, borders),
                gaps_since(client, now),
                over,
            ),
        }

    def of_vm(self, vm: str, over: Range, now: datetime) -> dict[str, Any]:
        """What was lost, an agent of the host lost that the VM was on at the time."""
        client = self.telemetry()
        borders = self.index.progress(client).borders
        stays = list(_stays(self.inventory.history(vm), over))
        known = {host: self._of(host) for _, _, host in stays}
        agents = {_entity(agent): host for host in known for agent in known[host]}
        lost = gaps(client, list(agents), over.start, over.end, borders)
        there = [
            replace(gap, start=max(gap.start, since), end=min(gap.end, until))
            for gap in lost
            for since, until, host in stays
            if agents[gap.agent] == host and gap.end >= since and gap.start <= until
        ]
        alive = now - _within([agent for every in known.values() for agent in every])
        guests = [vm] if self._is_heard_of(vm, alive) else []
        silent = _silent(silences(client, guests, now, _RECENTLY, borders), {})
        return {
            "agent": None,
            "figures": [],
            **silent,
            **_lost(there, gaps_since(client, now), over),
        }

    def _is_heard_of(self, vm: str, since: datetime) -> bool:
        try:
            return self.inventory.vm(vm).last_seen > since
        except NotFound:
            return False

    def _of(self, host: str) -> list[Agent]:
        """The agents of a host: who has an identity first, then who was heard of last."""
        found = [agent for agent in self.agents.all() if agent.host_id == host]
        return sorted(found, key=weight, reverse=True)


def _stays(history: Sequence[VmPeriod], over: Range) -> Iterator[tuple[datetime, datetime, str]]:
    """From when to when a VM was on which host, whatever it was called, of what touches the range.
    Where it was seen first it may have been before."""
    first = history[-1:]
    for host, group in groupby(history, key=lambda period: period.host_id):
        stay = list(group)
        since = _ALWAYS if stay[-1:] == first else stay[-1].since
        until = stay[0].until or _FOREVER
        if since <= over.end and until >= over.start:
            yield since, until, host


def _within(agents: Iterable[Agent]) -> timedelta:
    """A guest that was not heard of for longer has nobody who could answer."""
    interval = max((agent.interval_s for agent in agents), default=None)
    return max(timedelta(seconds=stale_after_s(interval)), _A_MINUTE)


def _entity(agent: Agent) -> str:
    return f"{AGENT_SERVICE_NAME}/{agent.id}"


def _agent(agent: Agent) -> dict[str, Any]:
    """`clock`: seconds that its clock is ahead, null where that is not known."""
    return {
        "entity": _entity(agent),
        "version": agent.version,
        "interval": agent.interval_s,
        "clock": agent.clock_offset_s,
        "clockIsWrong": agent.clock_is_wrong,
        "seen": _ms(agent.last_seen),
        "staleAfter": round(1000 * stale_after_s(agent.interval_s)),
    }


def _figure(figure: Figure) -> list[Any]:
    ms = _ms(figure.ts)
    return [figure.metric, dict(figure.attributes), ms, figure.value, figure.rate]


def _silent(found: Sequence[Silence], names: dict[str, str]) -> dict[str, Any]:
    """`since` null: for more than a day."""
    rows = [
        {
            "id": each.guest,
            "name": names.get(each.guest, ""),
            "since": each.since and _ms(each.since),
        }
        for each in found
    ]
    return {"silent": rows[:MAX_GUESTS], "moreSilent": len(rows[MAX_GUESTS:])}


def _lost(found: Iterable[Gap], known: datetime, over: Range) -> dict[str, Any]:
    """`known`: since when; told where the range begins before that, else null."""
    rows = [
        {
            "start": _ms(gap.start),
            "end": _ms(gap.end),
            "why": REASONS.get(gap.reason, gap.reason),
            "points": gap.points,
        }
        for gap in sorted(found, key=lambda gap: (gap.start, gap.end))
    ]
    return {
        "gaps": rows[-MAX_GAPS:],
        "moreGaps": len(rows[:-MAX_GAPS]),
        "gapsSince": _ms(known) if over.start < known else None,
    }


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
