"""One small line per machine: a metric over some hours, for all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry.cheaply import CHEAPLY
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.metric import metric_info
from novacron_store.telemetry.progress import Progress, progress
from novacron_store.telemetry.queries.buckets import (
    Grid,
    RolledPart,
    Selection,
    grid,
    growth,
    rolled_parts,
    samples,
    slot,
)


def sparklines(
    client: Client,
    metric: str,
    start: datetime,
    end: datetime,
    points: int = 72,
    entities: Sequence[str] | None = None,
    filters: Mapping[str, str] | None = None,
    known: Progress | None = None,
) -> dict[str, list[float | None]]:
    """By entity, `points` or fewer values up to `end`, None where nothing was measured.

    A gauge is averaged; a counter is a rate per second, summed over the entity's series.

    Raises:
        NotFound: no such metric.
        BadMessage: an empty range, or no sensible number of points.
    """
    with contract_errors():
        known = known or progress(client)
        where = grid(start, end, points, known)
        wanted = None if entities is None else tuple(entities)
        selection = Selection(metric_info(client, metric), wanted, filters)
        rows = client.query(
            f"""SELECT entity,
                arrayMap((x, w) -> x / w, sumForEach(top), sumForEach(weight)) AS line
            FROM ({_lines(selection, where, known)}) GROUP BY entity
            {CHEAPLY}""",
            parameters=selection.parameters,
        ).result_rows
    return {entity: _gaps_as_none(line) for entity, line in rows}


def _gaps_as_none(line: Sequence[float]) -> list[float | None]:
    if isfinite(sum(line)):
        return list(line)
    return [value if isfinite(value) else None for value in line]


def _lines(selection: Selection, where: Grid, known: Progress) -> str:
    """Rows of (entity, top, weight): arrays with an element for each slot, value = top / weight."""
    parts = []
    start = where.start
    for part in rolled_parts(selection, where, known):
        parts.append(_rolled(selection, where, part))
        start = part.end
    if start < where.end:
        parts.append(_raw(selection, where, start, known))
    return " UNION ALL ".join(parts)


def _rolled(selection: Selection, where: Grid, part: RolledPart) -> str:
    if selection.metric.is_counter:
        top, weight = "b.increase", _seconds(where, part)
    else:
        top, weight = "b.sum", _per_slot(where, "toFloat64(b.count)")
    return f"""SELECT entity, {_per_slot(where, top)} AS top, {weight} AS weight
    FROM (SELECT *, {slot("t", where)} FROM {part.relation}
        WHERE {selection.condition} AND {part.condition}) AS b
    GROUP BY entity"""


def _seconds(where: Grid, part: RolledPart) -> str:
    """The time that a slot's buckets cover, where it has any: growth counts for all of it."""
    begins = [where.start + where.step * n for n in range(where.slots)]
    cover = [max(0, min(t + where.step, part.end) - max(t, part.start)) for t in begins]
    return (
        f"arrayMap((n, s) -> if(n > 0, toFloat64(s), 0.), "
        f"countResample(0, {where.slots}, 1)(slot), {cover})"
    )


def _raw(selection: Selection, where: Grid, start: int, known: Progress) -> str:
    if not selection.metric.is_counter:
        return f"""SELECT entity, {_per_slot(where, "value")} AS top,
            {_per_slot(where, "1.")} AS weight
        FROM (SELECT *, {slot("ts", where)} FROM ({samples(selection, start, where.end, known)}))
        GROUP BY entity"""
    return f"""SELECT entity, {_per_slot(where, "grown")} AS top,
        {_per_slot(where, "seconds")} AS weight
    FROM (
        SELECT entity, slot, sum(grown) AS grown, max(seconds) AS seconds
        FROM ({growth(selection, where, start, known)}) GROUP BY entity, slot
    ) GROUP BY entity"""


def _per_slot(where: Grid, value: str) -> str:
    return f"sumResample(0, {where.slots}, 1)({value}, slot)"
