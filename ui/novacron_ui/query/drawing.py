"""A panel's lines over a range, on a common time axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_contract.errors import BadMessage, NotFound
from novacron_store.telemetry.builder import Index
from novacron_store.telemetry.queries import Chart, ChartQuery, Line, chart, quantiles
from novacron_ui.query.panels import Panel

MAX_COLOURS = 6  # that people tell apart
MAX_LINES = 18  # of one chart: as many as colours and dashes tell apart
MAX_POINTS = 1200  # as many as a wide screen has pixels for
MIN_SPAN, MAX_SPAN = timedelta(minutes=1), timedelta(days=731)

_Named = tuple[str, Line]  # the metric's name


@dataclass(frozen=True, slots=True)
class Range:
    start: datetime
    end: datetime
    points: int


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


def draw(client: Client, drawn: Panel, entity: str, over: Range, index: Index) -> dict[str, Any]:
    """What the browser draws of a panel."""
    queries = [
        ChartQuery(metric, entity, over.start, over.end, over.points) for metric in drawn.metrics
    ]
    charts = [found for query in queries for found in _chart(client, drawn, query, index)]
    span = {"start": round(over.start.timestamp()), "end": round(over.end.timestamp())}
    return {"panel": drawn.id, **span, **_joined(drawn, charts)}


def _chart(client: Client, drawn: Panel, query: ChartQuery, index: Index) -> list[Chart]:
    """None where nobody ever sent the metric: not every machine has every metric."""
    try:
        if drawn.quantiles:
            return [quantiles(client, query, drawn.quantiles)]
        return [chart(client, query, index)]
    except NotFound:
        return []


def _joined(drawn: Panel, charts: Sequence[Chart]) -> dict[str, Any]:
    lines = one_per_name(
        (each.metric, line)
        for each in charts
        for line in each.lines
        if drawn.draws(line.attributes)
    )
    quiet = ""
    if drawn.quiet:
        moving = [(metric, line) for metric, line in lines if any(line.values)]
        quiet = drawn.quiet if lines and not moving else ""
        lines = moving
    shown = lines
    if len(lines) > MAX_COLOURS:  # the large ones get the colours, the small ones dashes
        shown = sorted(lines, key=lambda pair: -_peak(pair[1]))[:MAX_LINES]
    times = sorted({ts for _, line in shown for ts in line.ts})
    return {
        "x": [ts / 1000 for ts in times],
        "lines": [_line(drawn, metric, line, times) for metric, line in shown],
        "left": len(lines) - len(shown),
        "quiet": quiet,
        "resolution": charts[0].resolution if charts else "",
        "step": charts[0].step_s if charts else 0,
    }


def one_per_name(lines: Iterable[_Named]) -> list[_Named]:
    """A service that comes back as a newer version has other series with the same names: they are
    one line, with a gap."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], list[Line]] = {}
    for metric, line in lines:
        found.setdefault((metric, frozenset(line.attributes.items())), []).append(line)
    return [(metric, _chained(same)) for (metric, _), same in found.items()]


def _chained(same: Sequence[Line]) -> Line:
    if len(same) == 1:
        return same[0]
    ts: list[int] = []
    values: list[float | None] = []
    for line in sorted(same, key=lambda line: line.ts):
        if ts and line.ts and ts[-1] < line.ts[0]:
            ts.append((ts[-1] + line.ts[0]) // 2)
            values.append(None)
        ts += line.ts
        values += line.values
    return Line(same[0].attributes, ts, values)


def _line(drawn: Panel, metric: str, line: Line, times: Sequence[int]) -> dict[str, Any]:
    """A null is a time that only other lines have; `gaps` are the positions where this one ends."""
    values: Mapping[int, float | None] = dict(zip(line.ts, line.values, strict=True))
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
