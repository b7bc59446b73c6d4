"""One metric of one machine over a range: a line per series, with its gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
from clickhouse_connect.driver.client import Client

from novacron_contract.errors import TooLarge
from novacron_store.telemetry.builder.index import Index
from novacron_store.telemetry.cheaply import CHEAPLY
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.progress import Progress, Resolution
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
from novacron_store.telemetry.queries.lines import OfBucket, chosen_series, lines

MAX_LINES = 500


class Aggregate(StrEnum):
    """What a point of a gauge says of its bucket; a counter is always a rate."""

    AVG = "avg"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class ChartQuery:
    """`filters` are attributes and the values that they must have."""

    metric: str
    entity: str
    start: datetime
    end: datetime
    max_points: int = 600
    filters: Mapping[str, str] = field(default_factory=dict)
    aggregate: Aggregate = Aggregate.AVG


@dataclass(frozen=True, slots=True)
class Line:
    """`ts` in Unix milliseconds; a None among the values is a gap."""

    attributes: Mapping[str, str]
    ts: list[int]
    values: list[float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """`kind` is "gauge" or "counter"; a counter's values are per second."""

    metric: str
    unit: str
    kind: str
    resolution: Resolution
    step_s: int
    lines: list[Line]


_GAUGE = {
    Aggregate.AVG: "sum(total) / sum(count)",
    Aggregate.MIN: "min(low)",
    Aggregate.MAX: "max(high)",
}
_RATE = "sum(grown) / sum(seconds)"
_OF_BUCKET: dict[Aggregate, OfBucket] = {
    Aggregate.AVG: lambda values, begins: (
        np.add.reduceat(values, begins) / np.diff(np.append(begins, len(values)))
    ),
    Aggregate.MIN: np.minimum.reduceat,
    Aggregate.MAX: np.maximum.reduceat,
}


def chart(client: Client, query: ChartQuery, index: Index | None = None) -> Chart:
    """Draw `query` from the coarsest resolution that is fine enough; `index` knows series and
    borders from before.

    Raises:
        NotFound: no such metric.
        BadMessage: an empty range, or no sensible number of points.
        TooLarge: more than MAX_LINES series.
    """
    index = index or Index()
    with contract_errors():
        known = index.progress(client)
        where = grid(query.start, query.end, query.max_points, known)
        series = index.series(client, (query.metric,), entity=query.entity)
        (info,) = series.metrics
        chosen = chosen_series(series, query.entity, query.filters)
        rows: Sequence[Sequence[Any]] | None = None
        if where.resolution is Resolution.RAW and len(chosen) <= MAX_LINES:
            of_bucket = _OF_BUCKET[query.aggregate]
            with suppress(TooLarge):
                rows = lines(client, series, chosen, where, known.borders, of_bucket, index.hours)
        if rows is None:
            selection = Selection(info, (query.entity,), query.filters)
            rows = _rows(client, selection, where, known, query.aggregate)
    if len(rows) > MAX_LINES:
        raise TooLarge(f"more than {MAX_LINES} series: ask for some of them by their attributes")
    drawn = [Line(labels, *with_gaps(times, values, where)) for labels, times, values in rows]
    kind = "counter" if info.is_counter else "gauge"
    return Chart(info.metric, info.unit, kind, where.resolution, where.step, drawn)


def _rows(
    client: Client, selection: Selection, where: Grid, known: Progress, aggregate: Aggregate
) -> Sequence[Sequence[Any]]:
    value = _RATE if selection.metric.is_counter else _GAUGE[aggregate]
    return client.query(
        f"""SELECT l.attributes, p.times, p.values FROM (
            SELECT series, arraySort(groupArray((at, value))) AS points,
                points.1 AS times, points.2 AS values
            FROM (
                SELECT series, max(at) AS at, {value} AS value
                FROM ({_buckets(selection, where, known)})
                GROUP BY series, slot HAVING isFinite(value)
            ) GROUP BY series
        ) AS p INNER ANY JOIN ({selection.series_sql("series, attributes")}) AS l USING (series)
        ORDER BY toString(l.attributes) LIMIT {MAX_LINES + 1} {CHEAPLY}""",
        parameters=selection.parameters,
    ).result_rows


def _buckets(selection: Selection, where: Grid, known: Progress) -> str:
    """Rows of (series, slot, at, ...): what _GAUGE or _RATE make a value of."""
    parts, start = [], where.start
    for part in rolled_parts(selection, where, known):
        parts.append(_rolled(selection, where, part))
        start = part.end
    if start < where.end:
        parts.append(_raw(selection, where, start, known))
    return " UNION ALL ".join(parts)


def _rolled(selection: Selection, where: Grid, part: RolledPart) -> str:
    columns = (
        "sum(b.sum) AS total, toUInt64(sum(b.count)) AS count, min(b.min) AS low, "
        "max(b.max) AS high"
    )
    if selection.metric.is_counter:
        columns = f"sum(b.increase) AS grown, toFloat64(max(t) - min(t) + {part.width}) AS seconds"
    return f"""SELECT series, {slot("t", where)}, toInt64(toUnixTimestamp(min(t))) * 1000 AS at,
        {columns}
    FROM {part.relation} AS b WHERE {selection.condition} AND {part.condition}
    GROUP BY series, slot"""


def _raw(selection: Selection, where: Grid, start: int, known: Progress) -> str:
    if selection.metric.is_counter:
        return f"""SELECT series, slot, at, grown, seconds
        FROM ({growth(selection, where, start, known)})"""
    return f"""SELECT series, {slot("ts", where)}, toUnixTimestamp64Milli(max(ts)) AS at,
        sum(value) AS total, count() AS count, min(value) AS low, max(value) AS high
    FROM ({samples(selection, start, where.end, known)}) GROUP BY series, slot"""


def with_gaps(
    times: Sequence[int], values: Sequence[float], where: Grid
) -> tuple[list[int], list[float | None]]:
    """Put a None where points are further apart than they usually are."""
    usual = median(b - a for a, b in pairwise(times)) if times[1:] else 0
    limit = max(2.5 * usual, 1500 * where.step)
    ts: list[int] = []
    line: list[float | None] = []
    for time, value in zip(times, values, strict=True):
        if ts and time - ts[-1] > limit:
            ts.append((time + ts[-1]) // 2)
            line.append(None)
        ts.append(time)
        line.append(value)
    return ts, line
