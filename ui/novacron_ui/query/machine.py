"""One machine: who it is, and its charts over a range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_contract.errors import BadMessage, NotFound
from novacron_store.state import Host, Inventory, Vm
from novacron_store.telemetry.queries import Chart, ChartQuery, Line, chart
from novacron_ui.query.panels import HOST_PANELS, VM_PANELS, Panel, panel

MAX_COLOURS = 6  # that people tell apart
MAX_LINES = 12  # of one chart; more cannot be told apart
MAX_POINTS = 1200  # as many as a wide screen has pixels for
MIN_SPAN, MAX_SPAN = timedelta(minutes=1), timedelta(days=731)


@dataclass(frozen=True, slots=True)
class Range:
    start: datetime
    end: datetime
    points: int


@dataclass(frozen=True, slots=True)
class Machine:
    """A host or VM with what stands in its page's head. `host` is a VM's hypervisor, if known."""

    id: str
    name: str
    kind: str  # host | vm
    facts: tuple[str, ...] = ()
    host: Host | None = None

    @property
    def panels(self) -> tuple[Panel, ...]:
        return HOST_PANELS if self.kind == "host" else VM_PANELS


@dataclass(frozen=True)
class Machines:
    inventory: Inventory
    telemetry: Callable[[], Client]

    def find(self, id_or_name: str) -> Machine:
        """
        Raises:
            NotFound: neither a VM nor a host is called so.
        """
        try:
            return self._vm(self.inventory.vm(id_or_name))
        except NotFound:
            return _host(self.inventory.host(id_or_name))

    def draw(self, entity: str, kind: str, panel_id: str, over: Range) -> dict[str, Any]:
        """The lines of one panel on a common time axis."""
        drawn = panel(HOST_PANELS if kind == "host" else VM_PANELS, panel_id)
        if drawn is None:
            raise NotFound(f"no panel has the id {panel_id!r}")
        client = self.telemetry()
        queries = [
            ChartQuery(metric, entity, over.start, over.end, over.points)
            for metric in drawn.metrics
        ]
        charts = [found for query in queries for found in _chart(client, query)]
        return {"panel": panel_id, **_range(over), **_joined(drawn, charts)}

    def _vm(self, vm: Vm) -> Machine:
        try:
            host = self.inventory.host(vm.host_id)
        except NotFound:
            host = None
        return Machine(vm.id, vm.name or vm.id, "vm", _known(vm.provider), host)


def parse_range(raw: Any, now: datetime) -> Range:
    """Read a range that a browser sent: the last `span` seconds, or `start` to `end`.

    Raises:
        BadMessage: it is not a range, or over a limit.
    """
    match raw:
        case {"span": int(span), "points": int(points)}:
            start, end = now - _span(span), now
        case {"start": int(first), "end": int(last), "points": int(points)}:
            start, end = _moment(first), _moment(last)
        case _:
            raise BadMessage("expected a span, or a start and an end, and points")
    if not MIN_SPAN <= end - start <= MAX_SPAN:
        raise BadMessage("a range is at least a minute and at most two years long")
    return Range(start, end, min(max(points, 10), MAX_POINTS))


def _span(seconds: int) -> timedelta:
    return timedelta(seconds=min(max(seconds, 0), 10 * MAX_SPAN.total_seconds()))


def _moment(milliseconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError) as err:
        raise BadMessage(f"{milliseconds} is no time") from err


def _chart(client: Client, query: ChartQuery) -> list[Chart]:
    """None where nobody ever sent the metric: not every provider has every metric."""
    try:
        return [chart(client, query)]
    except NotFound:
        return []


def _host(host: Host) -> Machine:
    return Machine(host.id, host.name or host.id, "host", _known(host.os, host.arch))


def _known(*facts: str) -> tuple[str, ...]:
    return tuple(fact for fact in facts if fact)


def _range(over: Range) -> dict[str, int]:
    return {"start": round(over.start.timestamp()), "end": round(over.end.timestamp())}


def _joined(drawn: Panel, charts: Sequence[Chart]) -> dict[str, Any]:
    lines = [
        (each.metric, line)
        for each in charts
        for line in each.lines
        if drawn.draws(line.attributes)
    ]
    shown = lines
    if len(lines) > MAX_COLOURS:  # the large ones get the colours, the small ones dashes
        shown = sorted(lines, key=lambda pair: -_peak(pair[1]))[:MAX_LINES]
    times = sorted({ts for _, line in shown for ts in line.ts})
    return {
        "x": [ts / 1000 for ts in times],
        "lines": [_line(drawn, metric, line, times) for metric, line in shown],
        "left": len(lines) - len(shown),
        "resolution": charts[0].resolution if charts else "",
        "step": charts[0].step_s if charts else 0,
    }


def _line(drawn: Panel, metric: str, line: Line, times: Sequence[int]) -> dict[str, Any]:
    """A null is a time that only other lines have; `gaps` are the positions where this one ends."""
    values = dict(zip(line.ts, line.values, strict=True))
    is_gap = {ts for ts, value in values.items() if value is None}
    return {
        "metric": metric,
        "attributes": dict(line.attributes),
        "name": drawn.line_name(metric, line.attributes),
        "values": [values.get(ts) for ts in times],
        "gaps": [position for position, ts in enumerate(times) if ts in is_gap],
    }


def _peak(line: Line) -> float:
    return max((value for value in line.values if value is not None), default=0.0)
