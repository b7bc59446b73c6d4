"""What slots of time hold of each series, asked of the store: sums, extremes, last values.

Closed hours are asked in SQL over arrays, buckets where they say the same; what is not closed yet
is put together for each series first. Both answer rows of (key, slot, ...), which are put side by
side here. A key is a series, or what several of them that are added up anyway have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_store.telemetry import blocks, buckets, schema
from novacron_store.telemetry.builder.grid import Slots
from novacron_store.telemetry.builder.index import MetricSeries
from novacron_store.telemetry.queries.cheaply import CHEAPLY
from novacron_store.telemetry.samples import Borders

Floats = NDArray[np.float64]
SILENCE_S = 86400  # how long a counter may be silent before an open hour, and its step is known


class Resolution(StrEnum):
    RAW = "raw"
    FIVE_MINUTES = "5m"
    HOUR = "1h"


class Part(StrEnum):
    """What a slot can hold. `m2` are squared distances from the slot's mean; `r`, `rr` and `rx` are
    sums of seconds since the slot began, their squares, and their products with the values."""

    COUNT = "n"
    SUM = "s"
    MIN = "lo"
    MAX = "hi"
    FIRST = "first"
    LAST = "last"
    INCREASE = "inc"
    M2 = "m2"
    R = "r"
    RR = "rr"
    RX = "rx"
    QUANTILE = "q"  # of a slot that is a whole window
    VALUES = "all"  # each of them


IN_BUCKETS = {
    Part.COUNT, Part.SUM, Part.MIN, Part.MAX, Part.FIRST, Part.LAST, Part.INCREASE
}  # fmt: skip
_NEEDS_TIMES = {Part.R, Part.RR, Part.RX}
_UNITED = {
    **dict.fromkeys((Part.COUNT, Part.SUM, Part.INCREASE), (np.add, 0.0)),
    Part.MIN: (np.minimum, np.inf),
    Part.MAX: (np.maximum, -np.inf),
}

_OF_ROWS = {
    Part.COUNT: "toFloat64(count())", Part.SUM: "sum(x)", Part.MIN: "min(x)", Part.MAX: "max(x)",
    Part.FIRST: "argMin(x, time)", Part.LAST: "argMax(x, time)", Part.INCREASE: "sum(i)",
    Part.M2: "varPop(x) * count()", Part.R: "sum(passed)", Part.RR: "sum(passed * passed)",
    Part.RX: "sum(passed * x)", Part.QUANTILE: "quantileExactInclusive(%s)(x)",
    Part.VALUES: "groupArray(x)",
}  # fmt: skip
_OF_ARRAYS = {
    Part.COUNT: "toFloat64(sum(length(xs)))", Part.SUM: "sum(arraySum(xs))",
    Part.MIN: "min(arrayMin(xs))", Part.MAX: "max(arrayMax(xs))",
    Part.FIRST: "argMin(xs[1], hour)", Part.LAST: "argMax(xs[-1], hour)",
    Part.INCREASE: "sum(arraySum(incs))", Part.M2: "varPopArray(xs) * sum(length(xs))",
    Part.QUANTILE: "quantileExactInclusiveArray(%s)(xs)", Part.VALUES: "groupArrayArray(xs)",
}  # fmt: skip
_OF_BUCKETS = {
    Part.COUNT: "toFloat64(sum(b.count))", Part.SUM: "sum(b.sum)", Part.MIN: "min(b.min)",
    Part.MAX: "max(b.max)", Part.FIRST: "argMin(b.first, t)", Part.LAST: "argMax(b.last, t)",
    Part.INCREASE: "sum(b.increase)",
}  # fmt: skip


class Key(StrEnum):
    """What is told apart while samples are counted: the fewer, the cheaper."""

    SERIES = "series"
    ENTITY = "entity"
    CLASS = "class"
    ALL = "0"


@dataclass(frozen=True, slots=True)
class Wanted:
    """`parts` of the series `chosen` (indices into those of the metric), each of which is counted
    into one of `rows` rows: `row_of`. `delta` says that values of the metric are increases."""

    metric: str
    series: MetricSeries
    chosen: NDArray[np.intp]
    rows: int
    row_of: NDArray[np.intp]
    slots: Slots
    parts: tuple[Part, ...]
    delta: bool
    share: float = 0.5

    @property
    def key(self) -> Key:
        """The coarsest that still tells rows apart."""
        if self.rows == 1:
            return Key.ALL
        for key, codes in (
            (Key.CLASS, self.series.attributes_of[self.chosen]),
            (Key.ENTITY, self.series.entity_of[self.chosen]),
        ):
            if _decides(codes, self.row_of):
                return key
        return Key.SERIES


Asked = Callable[[str, dict[str, Any]], pa.Table]


@dataclass(slots=True)
class Partials:
    """Matrices of (rows, slots), NaN where nothing was measured; VALUES: lists, by (row, slot)."""

    of: dict[Part, Floats]
    values: dict[tuple[int, int], list[Floats]]

    def __or__(self, later: Partials) -> Partials:
        """Both, of which `later` is of later times."""
        values = {at: [*self.values.get(at, []), *more] for at, more in later.values.items()}
        return Partials(together(self.of, later.of), self.values | values)


def together(one: dict[Part, Floats], two: dict[Part, Floats]) -> dict[Part, Floats]:
    """What is in either of two slots, the second of which is later, as if they were one."""
    none = {part: np.isnan(values) for part, values in one.items()}
    nothing = {part: np.isnan(values) for part, values in two.items()}
    found = {}
    for part, a in one.items():
        b = two[part]
        match part:
            case Part.MIN:
                both = np.minimum(a, b)
            case Part.MAX:
                both = np.maximum(a, b)
            case Part.FIRST:
                both = a
            case Part.LAST | Part.QUANTILE:
                both = b
            case Part.M2:  # Chan, Golub, LeVeque: Updating Formulae, 1979
                n, m = one[Part.COUNT], two[Part.COUNT]
                apart = one[Part.SUM] / n - two[Part.SUM] / m
                both = a + b + apart * apart * (n * m / (n + m))
            case _:
                both = a + b
        found[part] = np.where(none[part], b, np.where(nothing[part], a, both))
    return found


def collect(ask: Asked, wanted: Wanted, borders: Borders, resolution: Resolution) -> Partials:
    """Ask for the parts of all slots, of closed hours in `resolution`."""
    condition, parameters = conditions(wanted)
    closed = borders.closed * 1000
    found = _nothing(wanted)
    if wanted.slots.start < closed:
        sql = _closed(wanted, condition, borders, resolution)
        found = _put(ask(sql, parameters), wanted, wanted.key)
    if wanted.slots.end > closed:  # windows and arrivals do not know classes
        found |= _put(ask(_open(wanted, borders), _opened(wanted)), wanted, Key.SERIES)
    return found


def _nothing(wanted: Wanted) -> Partials:
    shape = (wanted.rows, wanted.slots.count)
    return Partials({part: np.full(shape, np.nan) for part in wanted.parts}, {})


def _put(rows: pa.Table, wanted: Wanted, key: Key) -> Partials:
    """Answered rows where they belong; several keys of one row have parts that can be added."""
    found = _nothing(wanted)
    if not rows.num_rows:
        return found
    row, slot = _rows(rows["key"], wanted, key), rows["slot"].to_numpy()
    known = row >= 0
    at = np.ravel_multi_index((row[known], slot[known]), (wanted.rows, wanted.slots.count))
    for part in wanted.parts:
        if part is Part.VALUES:
            found.values = _lists(row, slot, rows[part.value])
        else:
            values = rows[part.value].to_numpy()[known]
            flat = found.of[part].reshape(-1)
            if part in _UNITED:
                unite, nothing = _UNITED[part]
                flat[at] = nothing
                unite.at(flat, at, values)
            else:
                flat[at] = values
    return found


def _lists(
    row: NDArray[np.intp], slot: NDArray[np.int32], lists: pa.ChunkedArray
) -> dict[tuple[int, int], list[Floats]]:
    return {
        (int(r), int(s)): [np.asarray(values.values.to_numpy(), np.float64)]
        for r, s, values in zip(row, slot, lists, strict=True)
        if r >= 0
    }


def _rows(keys: pa.ChunkedArray, wanted: Wanted, key: Key) -> NDArray[np.intp]:
    """The row of each key; -1 for one that is not wanted."""
    series, chosen = wanted.series, wanted.chosen
    if key is Key.ALL:
        return np.zeros(len(keys), np.intp)
    if key is Key.ENTITY:
        row_of = dict(zip(
            (series.entities[code] for code in series.entity_of[chosen]), wanted.row_of.tolist(),
            strict=True,
        ))  # fmt: skip
        return np.array([row_of.get(name, -1) for name in keys.to_pylist()], np.intp)
    mine = series.ids[chosen] if key is Key.SERIES else series.classes[chosen]
    order = np.argsort(mine, kind="stable")
    asked = keys.to_numpy()
    place = np.minimum(np.searchsorted(mine[order], asked), len(mine) - 1)
    found = order[place]
    return np.where(mine[found] == asked, wanted.row_of[found], -1)


def _decides(codes: NDArray[np.int32], row_of: NDArray[np.intp]) -> bool:
    """Whether series of one code are all counted into one row."""
    order = np.lexsort((row_of, codes))
    same = codes[order][1:] == codes[order][:-1]
    return bool((row_of[order][1:] == row_of[order][:-1])[same].all())


# -- SQL ---------------------------------------------------------------------------------------


def conditions(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """Which series, as shortly as can be: classes and entities, each where not all are meant, and
    series by their ids only where these two do not say it."""
    series, chosen = wanted.series, wanted.chosen
    parameters: dict[str, Any] = {"metric": wanted.metric}
    text = "metric = {metric:String}"
    if len(chosen) == len(series):
        return text, parameters
    kinds = np.isin(series.attributes_of, np.unique(series.attributes_of[chosen]))
    named = np.isin(series.entity_of, np.unique(series.entity_of[chosen]))
    if not kinds.all():
        text += " AND class IN {classes:Array(UInt32)}"
        parameters["classes"] = np.unique(series.classes[chosen]).tolist()
    if not named.all():
        text += " AND entity IN {entities:Array(String)}"
        codes = np.unique(series.entity_of[chosen])
        parameters["entities"] = [series.entities[code] for code in codes]
    if int((kinds & named).sum()) != len(chosen):
        text += " AND series IN {series:Array(UInt64)}"
        parameters["series"] = series.ids[chosen].tolist()
    return text, parameters


def _columns(wanted: Wanted, forms: dict[Part, str]) -> str:
    """An aggregate for each part."""
    texts = (forms[part] for part in wanted.parts)
    filled = (text % wanted.share if "%s" in text else text for text in texts)
    return ", ".join(f"{text} AS `{part}`" for part, text in zip(wanted.parts, filled, strict=True))


def _closed(wanted: Wanted, condition: str, borders: Borders, resolution: Resolution) -> str:
    slots = wanted.slots
    first, last = slots.start // 1000, min(-(-slots.end // 1000), borders.closed)
    if resolution is Resolution.HOUR:
        rows = f"""{buckets.HOURS_OF % condition}"""
    elif resolution is Resolution.FIVE_MINUTES:
        rows = f"({buckets.CLOSED % f'{_hours(first, last)} AND {condition}'})"
    else:
        return _raw(wanted, condition, first, last)
    return f"""SELECT {wanted.key} AS key, {_slot("toInt64(toUnixTimestamp(t)) * 1000", slots)},
        {_columns(wanted, _OF_BUCKETS)}
    FROM {rows} AS b
    WHERE t >= toDateTime({first}, 'UTC') AND t < toDateTime({last}, 'UTC')
    GROUP BY key, slot {CHEAPLY}"""


def _raw(wanted: Wanted, condition: str, first: int, last: int) -> str:
    slots = wanted.slots
    whole = slots.whole(3600) and not _NEEDS_TIMES.intersection(wanted.parts)
    entities = " AND entity IN {entities:Array(String)}" if "{entities:" in condition else ""
    arrays = blocks.arrays(_hours(first, last) + entities, and_of=f" AND {condition}")
    incs = "xs" if wanted.delta else "arrayPushFront(arrayPopFront(grown_of), carried)"
    source = f"""SELECT metric, class, entity, series, hour, carried,
            if(ends, arrayFilter(x -> NOT isNaN(x), numbers), numbers) AS xs,
            if(ends, arrayMap((x, d) -> if(d < 0, x, d), xs, arrayDifference(xs)), grown)
                AS grown_of,
            {"[]" if whole else _TIMES} AS times, {incs} AS incs
        FROM {arrays} WHERE notEmpty(xs)"""
    if whole:
        return f"""SELECT {wanted.key} AS key,
            {_slot("toInt64(toUnixTimestamp(hour)) * 1000", slots)},
            {_columns(wanted, _OF_ARRAYS)}
        FROM ({source}) GROUP BY key, slot {CHEAPLY}"""
    return f"""SELECT {wanted.key} AS key, {_counted(wanted)}
    FROM ({source}) {_joined(wanted)}
    GROUP BY key, slot {CHEAPLY}"""


_TIMES = "if(ends, arrayFilter((t, x) -> NOT isNaN(x), moments, numbers), moments)"


def _hours(first: int, last: int) -> str:
    begin = first // 3600 * 3600
    return f"hour >= toDateTime({begin}, 'UTC') AND hour < toDateTime({last}, 'UTC')"


def _open(wanted: Wanted, borders: Borders) -> str:
    """Windows and arrivals behind the last closed hour."""
    closed, gathered = borders.closed_sql, borders.gathered_sql
    asked = "metric = {metric:String} AND series IN {series:Array(UInt64)}"
    return f"""SELECT series AS key, {_counted(wanted)}
    FROM (
        SELECT series, times, xs, {"xs" if wanted.delta else "grown"} AS incs FROM (
            SELECT series, arraySort(groupArrayArray(arrayZip(o.times, o.values))) AS every,
                arrayFilter((p, d, n) -> NOT isNaN(p.2) AND (d > 0 OR n = 1), every,
                    arrayDifference(every.1), arrayEnumerate(every)) AS p,
                p.1 AS times, p.2 AS xs,
                arrayMap((x, d) -> if(d < 0, x, d), xs, arrayDifference(xs)) AS inside,
                any(q.carried) AS before, any(q.known) AS was,
                arrayPushFront(arrayPopFront(inside), if(was,
                    if(xs[1] < before, xs[1], xs[1] - before), 0)) AS grown
            FROM (
                SELECT series, times, values FROM {schema.WINDOWS} FINAL
                WHERE {asked} AND t >= {closed} AND t < {gathered}
                UNION ALL
                SELECT id AS series, [toUnixTimestamp64Milli(ts)] AS times, [number] AS values
                FROM {schema.ARRIVALS} ARRAY JOIN metrics AS metric, ids AS id, numbers AS number
                WHERE ts >= toDateTime64({gathered}, 3, 'UTC') AND metric = {{metric:String}}
                    AND id IN {{series:Array(UInt64)}}
            ) AS o
            LEFT ANY JOIN (
                SELECT series, argMax(last, t) AS carried, true AS known
                FROM {schema.BUCKETS_1H} FINAL
                WHERE {asked} AND t < {closed} AND t >= {closed} - toIntervalSecond({SILENCE_S})
                GROUP BY series
            ) AS q USING (series)
            GROUP BY series HAVING notEmpty(xs)
        )
    ) {_joined(wanted)}
    GROUP BY key, slot {CHEAPLY}"""


def _opened(wanted: Wanted) -> dict[str, Any]:
    return {"metric": wanted.metric, "series": wanted.series.ids[wanted.chosen].tolist()}


def _counted(wanted: Wanted) -> str:
    slots = wanted.slots
    text = f"{_slot('time', slots)}"
    if _NEEDS_TIMES.intersection(wanted.parts):
        # inside aggregates: seconds since the slot began
        forms = {
            part: form.replace("passed", f"((time - {slots.start}) % {slots.width} / 1000)")
            for part, form in _OF_ROWS.items()
        }
        return f"{text}, {_columns(wanted, forms)}"
    return f"{text}, {_columns(wanted, _OF_ROWS)}"


def _joined(wanted: Wanted) -> str:
    slots = wanted.slots
    increments = ", incs AS i" if Part.INCREASE in wanted.parts else ""
    return f"""ARRAY JOIN times AS time, xs AS x{increments}
    WHERE time >= {slots.start} AND time < {slots.end}"""


def _slot(time: str, slots: Slots) -> str:
    return f"toInt32(intDiv({time} - {slots.start}, {slots.width})) AS slot"
