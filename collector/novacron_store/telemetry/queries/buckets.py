"""Values of one metric over time, from the coarsest data that is fine enough.

What is not rolled up yet is read from the next finer data, so that the newest bucket is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

from novacron_contract.errors import BadMessage
from novacron_store.telemetry import schema
from novacron_store.telemetry.buckets import HOURS, five_minutes
from novacron_store.telemetry.metric import MetricInfo
from novacron_store.telemetry.progress import Progress, Resolution
from novacron_store.telemetry.samples import Borders, as_stored, once

LOOK_BACK_S = 150  # how far before a range the sample is looked for that its first step is from


@dataclass(frozen=True, slots=True)
class Grid:
    """`slots` buckets of `step` seconds; the first begins at `start` (Unix seconds)."""

    resolution: Resolution
    start: int
    step: int
    slots: int

    @property
    def end(self) -> int:
        return self.start + self.step * self.slots


def grid(start: datetime, end: datetime, points: int, known: Progress) -> Grid:
    """At most `points` buckets, the last of which holds `end`.

    Raises:
        BadMessage: an empty range, or no sensible number of points.
    """
    span = end.timestamp() - start.timestamp()
    if span <= 0:
        raise BadMessage("the range is empty: its end is not after its start")
    if not 1 <= points <= 5000:
        raise BadMessage(f"{points} points: expected 1 to 5000")
    wanted = ceil(span / points)
    resolution = _resolution(wanted, start.timestamp(), known)
    unit = resolution.seconds
    step = ceil(wanted / unit) * unit
    last = int(end.timestamp()) // step
    first = max(int(start.timestamp()) // step, last - points + 1)
    return Grid(resolution, first * step, step, last - first + 1)


def _resolution(wanted: int, start: float, known: Progress) -> Resolution:
    """The coarsest one that is fine enough, or a coarser one that reaches further back."""
    if wanted >= 3600 and known.borders.closed:
        return Resolution.HOUR
    if wanted >= 300 and known.borders.gathered:
        return Resolution.FIVE_MINUTES
    if (
        start >= known.begins.first_raw
        or not 0 < known.begins.first_5m < known.begins.first_raw - 300
    ):
        return Resolution.RAW
    if (
        start >= known.begins.first_5m
        or not 0 < known.begins.first_1h < known.begins.first_5m - 3600
    ):
        return Resolution.FIVE_MINUTES
    return Resolution.HOUR


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series: of one metric, of some entities (None: all), with these attributes."""

    metric: MetricInfo
    entities: tuple[str, ...] | None = None
    filters: Mapping[str, str] | None = None

    @property
    def condition(self) -> str:
        text = "metric = {metric:String}"
        if self.entities is not None:
            text += " AND entity IN {entities:Array(String)}"
        if self.filters:
            text += f" AND series IN ({self.series_sql('series')})"
        return text

    def series_sql(self, columns: str) -> str:
        """The series themselves: attributes are looked at here, and only here."""
        text = f"SELECT {columns} FROM {schema.SERIES} WHERE metric = {{metric:String}}"
        if self.entities is not None:
            text += " AND entity IN {entities:Array(String)}"
        for n in range(len(self.filters or {})):
            text += f" AND attributes[{{key{n}:String}}] = {{label{n}:String}}"
        return text

    @property
    def parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = {"metric": self.metric.metric}
        if self.entities is not None:
            found["entities"] = list(self.entities)
        for n, (key, label) in enumerate((self.filters or {}).items()):
            found |= {f"key{n}": key, f"label{n}": label}
        return found


@dataclass(frozen=True, slots=True)
class RolledPart:
    """A part of a range that buckets of `width` seconds cover, in Unix seconds."""

    relation: str  # to be read FROM
    width: int
    start: int
    end: int

    @property
    def condition(self) -> str:
        return f"t >= toDateTime({self.start}, 'UTC') AND t < toDateTime({self.end}, 'UTC')"


def rolled_parts(selection: Selection, where: Grid, known: Progress) -> list[RolledPart]:
    """Hours as far as they are closed, then 5 minutes; samples have to do for the rest."""
    start, parts, at = where.start, [], known.borders
    for resolution, rolled in (
        (Resolution.HOUR, at.closed),
        (Resolution.FIVE_MINUTES, at.gathered),
    ):
        end = min(where.end, rolled)
        if where.resolution.seconds >= resolution.seconds and start < end:
            hours = resolution is Resolution.HOUR
            relation = HOURS if hours else _five_minutes(selection, at, start, end)
            parts.append(RolledPart(relation, resolution.seconds, start, end))
            start = end
    return parts


def _five_minutes(selection: Selection, at: Borders, start: int, end: int) -> str:
    columns = ("increase",) if selection.metric.is_counter else ("count", "sum", "min", "max")
    return five_minutes(at, start, end, selection.condition, columns)


def samples(selection: Selection, start: int, end: int, known: Progress) -> str:
    """Rows of (entity, series, ts, value), each sample once."""
    return _samples(selection, start, end, once(known.borders).between(start, end))


def growth(selection: Selection, where: Grid, start: int, known: Progress) -> str:
    """Rows of (entity, series, slot, at, grown, seconds): what counters grew by, and in how long.

    The first step is from the sample before `start`, if it is not too long ago. What is the first
    of all is a step in no time, and left out.
    """
    first, end = start - LOOK_BACK_S, where.end
    every = _samples(selection, first, end, as_stored(known.borders).between(first, end))
    # No lambda captures an array: ClickHouse copies it for each element.
    steps = (
        "arrayMap((x, d) -> if(d < 0, x, d), values, arrayDifference(values))"  # less: a restart
    )
    if selection.metric.temporality == "delta":
        steps = "values"
    return f"""SELECT entity, series,
        intDiv(intDiv(time, 1000) - {where.start}, {where.step}) AS slot, max(time) AS at,
        sum(step) AS grown, sum(passed / 1000) AS seconds
    FROM (
        SELECT any(r.entity) AS entity, series, arraySort(groupArray(
                (toUnixTimestamp64Milli(ts), r.value))) AS every,
            arrayFilter((point, passed, n) -> passed > 0 OR n = 1,
                every, arrayDifference(every.1), arrayEnumerate(every)) AS points,
            points.1 AS times, points.2 AS values
        FROM ({every}) AS r
        GROUP BY series
    )
    ARRAY JOIN times AS time, {steps} AS step, arrayDifference(times) AS passed
    WHERE passed > 0 AND time >= {start} * 1000
    GROUP BY entity, series, slot"""


def _samples(selection: Selection, start: int, end: int, relation: str) -> str:
    return f"""SELECT entity, series, ts, s.value AS value FROM {relation} AS s
    WHERE {selection.condition} AND NOT isNaN(s.value)
        AND ts >= toDateTime64({start}, 3, 'UTC') AND ts < toDateTime64({end}, 3, 'UTC')"""


def slot(time: str, where: Grid) -> str:
    return f"intDiv(toInt64(toUnixTimestamp({time})) - {where.start}, {where.step}) AS slot"
