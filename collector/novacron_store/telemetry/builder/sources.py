"""SQL for the parts of slots: of closed hours from their blocks or their buckets, and of what is
not closed yet from windows and arrivals.

Texts hold no more than their parts need: ClickHouse takes longer to plan a long statement than to
read a machine's blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from novacron_store.telemetry import buckets, schema
from novacron_store.telemetry.blocks import POWER
from novacron_store.telemetry.builder.grid import Slots
from novacron_store.telemetry.builder.wanted import Part, Wanted
from novacron_store.telemetry.cheaply import CHEAPLY, OF_CLOSED
from novacron_store.telemetry.progress import Resolution
from novacron_store.telemetry.samples import Borders

SILENCE_S = 86400  # how long a counter may be silent before an open hour, and its step is known
_FEW_ENTITIES = 100
_NEEDS_TIMES = {Part.R, Part.RR, Part.RX}

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
    Part.INCREASE: "sum(arraySum(is))", Part.M2: "varPopArray(xs) * sum(length(xs))",
    Part.QUANTILE: "quantileExactInclusiveArray(%s)(xs)", Part.VALUES: "groupArrayArray(xs)",
}  # fmt: skip
_OF_BUCKETS = {
    Part.COUNT: "toFloat64(sum(b.count))", Part.SUM: "sum(b.sum)", Part.MIN: "min(b.min)",
    Part.MAX: "max(b.max)", Part.FIRST: "argMin(b.first, t)", Part.LAST: "argMax(b.last, t)",
    Part.INCREASE: "sum(b.increase)",
}  # fmt: skip


_COLUMN_OF = {
    Part.COUNT: "count", Part.SUM: "sum", Part.MIN: "min", Part.MAX: "max", Part.FIRST: "first",
    Part.LAST: "last", Part.INCREASE: "increase",
}  # fmt: skip


def conditions(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """Which series, as shortly as can be: classes and entities, each where not all are meant, and
    series by their ids only where these two do not say it."""
    series, chosen = wanted.series, wanted.chosen
    parameters: dict[str, Any] = {"metrics": list(wanted.metrics)}
    text = "metric IN {metrics:Array(String)}"
    few = not series.whole or len(series.entities) <= _FEW_ENTITIES
    if len(chosen) == len(series) and not few:
        return text, parameters
    kinds = np.isin(series.classes, np.unique(series.classes[chosen]))
    named = np.isin(series.entity_of, np.unique(series.entity_of[chosen]))
    if not kinds.all():
        text += " AND class IN {classes:Array(UInt32)}"
        parameters["classes"] = np.unique(series.classes[chosen]).tolist()
    if few or not named.all():  # times know no metrics: of few machines, theirs alone are read
        text += " AND entity IN {entities:Array(String)}"
        codes = np.unique(series.entity_of[chosen])
        parameters["entities"] = [series.entities[code] for code in codes]
    if int((kinds & named).sum()) != len(chosen):
        text += " AND series IN {series:Array(UInt64)}"
        parameters["series"] = series.ids[chosen].tolist()
    return text, parameters


def closed(wanted: Wanted, condition: str, borders: Borders, resolution: Resolution) -> str:
    """Rows of (key, slot, parts) of closed hours."""
    slots = wanted.slots
    first, last = _range(slots, borders)
    hours = hours_of(slots, borders)
    if resolution is Resolution.RAW:
        return _of_blocks(wanted, condition, hours, last)
    if resolution is Resolution.HOUR:
        rows = buckets.HOURS_OF % condition
    else:
        columns = [_COLUMN_OF[part] for part in wanted.parts]
        rows = f"({buckets.closed(f'{hours} AND {condition}', columns)})"
    return f"""SELECT {wanted.key} AS key, {_slot("toInt64(toUnixTimestamp(t)) * 1000", slots)},
        {_columns(wanted, _OF_BUCKETS)}
    FROM {rows} AS b
    WHERE t >= toDateTime({first}, 'UTC') AND t < toDateTime({last}, 'UTC')
    GROUP BY key, slot {OF_CLOSED}"""


_MEASURED = "arrayFilter(x -> NOT isNaN(x), floats)"
_XS = f"if(scale < 0, {_MEASURED}, arrayMap(x -> (x + base) / {POWER}, arrayCumSum(steps)))"
# What each value grew by, a smaller one being a restart from 0.
_GROWN = f"""arrayPushFront(arrayPopFront(if(scale < 0,
                arrayMap((x, d) -> if(d < 0, x, d), {_MEASURED}, arrayDifference({_MEASURED})),
                arrayMap((d, x) -> if(d < 0, x + base, d) / {POWER}, steps, arrayCumSum(steps)))),
                carried)"""
_TIMES_OF_MEASURED = "if(scale < 0, arrayFilter((t, x) -> NOT isNaN(x), moments, floats), moments)"


def _of_blocks(wanted: Wanted, condition: str, hours: str, last: int) -> str:
    slots = wanted.slots
    condition += f" AND (scale >= 0 OR notEmpty({_MEASURED}))"
    columns = [str(wanted.key), *_arrays(wanted)]
    if slots.whole(3600) and not _NEEDS_TIMES.intersection(wanted.parts):
        arrays = ", ".join([*columns, "hour", "carried"])
        return f"""SELECT {wanted.key} AS key,
            {_slot("toInt64(toUnixTimestamp(hour)) * 1000", slots)},
            {_columns(wanted, _OF_ARRAYS)}
        FROM (SELECT {arrays} FROM {schema.BLOCKS} FINAL WHERE {hours} AND {condition})
        GROUP BY key, slot {OF_CLOSED}"""
    edges = slots.start % 3_600_000 or slots.end > last * 1000 or slots.end % 3_600_000
    inside = f"WHERE time >= {slots.start} AND time < {slots.end}" if edges else ""
    names = [text.rpartition(" AS ")[2] for text in _arrays(wanted)]
    joined = ", ".join(f"{name} AS {name[:-1]}" for name in names)
    return f"""SELECT {wanted.key} AS key, {_counted(wanted)}
    FROM {_with_times(columns, hours, condition)}
    ARRAY JOIN {_TIMES_OF_MEASURED} AS time, {joined} {inside}
    GROUP BY key, slot {OF_CLOSED}"""


def _with_times(columns: list[str], hours: str, condition: str) -> str:
    """Blocks beside their times."""
    kept = ", ".join(dict.fromkeys([*columns, "hour", "entity", "times", "scale", "floats"]))
    entities = " AND entity IN {entities:Array(String)}" if "{entities:" in condition else ""
    return f"""(SELECT {kept} FROM {schema.BLOCKS} FINAL WHERE {hours} AND {condition}) AS b
    LEFT SEMI JOIN (
        SELECT hour, entity, id, arrayMap(x -> x + first, arrayCumSum(steps)) AS moments
        FROM {schema.TIMES} WHERE {hours}{entities}
    ) AS t ON b.hour = t.hour AND b.entity = t.entity AND b.times = t.id"""


def _range(slots: Slots, borders: Borders) -> tuple[int, int]:
    """The part of them that is closed, in Unix seconds."""
    return slots.start // 1000, min(-(-slots.end // 1000), borders.closed)


def hours_of(slots: Slots, borders: Borders) -> str:
    """SQL: the closed hours in which they lie."""
    first, last = _range(slots, borders)
    begin = f"hour >= toDateTime({first // 3600 * 3600}, 'UTC')"
    return f"{begin} AND hour < toDateTime({last}, 'UTC')"


def moment(milliseconds: int) -> str:
    """SQL: a DateTime64."""
    return f"fromUnixTimestamp64Milli({milliseconds}, 'UTC')"


def _arrays(wanted: Wanted) -> list[str]:
    """The columns of arrays that the parts are made of."""
    grows = Part.INCREASE in wanted.parts
    found = [f"{_XS} AS xs"] if set(wanted.parts) != {Part.INCREASE} or wanted.delta else []
    if grows:
        found.append("xs AS is" if wanted.delta else f"{_GROWN} AS is")
    return found


def opened(wanted: Wanted, borders: Borders) -> tuple[str, dict[str, Any]]:
    """The same of windows and arrivals behind the last closed hour, by series, and parameters."""
    slots = wanted.slots
    joined = "times AS time, xs AS x" + (", is AS i" if Part.INCREASE in wanted.parts else "")
    sql = f"""SELECT series AS key, {_counted(wanted)}
    FROM ({_open_series(wanted, borders)})
    ARRAY JOIN {joined} WHERE time >= {slots.start} AND time < {slots.end}
    GROUP BY key, slot {CHEAPLY}"""
    return sql, _opened(wanted)


def _opened(wanted: Wanted) -> dict[str, Any]:
    ids = wanted.series.ids[wanted.chosen].tolist()
    return {"metrics": list(wanted.metrics), "series": ids}


def _open_series(wanted: Wanted, borders: Borders) -> str:
    """Rows of (series, times, xs, is)."""
    closed, gathered = borders.closed_sql, borders.gathered_sql
    end = moment(wanted.slots.end)
    asked = "metric IN {metrics:Array(String)} AND series IN {series:Array(UInt64)}"
    steps, lasts, known = "", "", ""
    if Part.INCREASE in wanted.parts:
        steps = ", xs AS is"
    if steps and not wanted.delta:
        steps = """,
            arrayMap((x, d) -> if(d < 0, x, d), xs, arrayDifference(xs)) AS inside,
            arrayPushFront(arrayPopFront(inside), if(was,
                if(xs[1] < before, xs[1], xs[1] - before), 0)) AS is"""
        known = ", any(q.carried) AS before, any(q.known) AS was"
        lasts = f"""
            LEFT ANY JOIN (
                SELECT series, argMax(last, t) AS carried, true AS known
                FROM {schema.BUCKETS_1H} FINAL
                WHERE {asked} AND t < {closed} AND t >= {closed} - toIntervalSecond({SILENCE_S})
                GROUP BY series
            ) AS q USING (series)"""
    return f"""
        SELECT series, arraySort(groupArrayArray(arrayZip(o.times, o.values))) AS every,
            arrayFilter((p, d, n) -> NOT isNaN(p.2) AND (d > 0 OR n = 1), every,
                arrayDifference(every.1), arrayEnumerate(every)) AS p,
            p.1 AS times, p.2 AS xs{known}{steps}
        FROM (
            SELECT series, times, values FROM {schema.WINDOWS} FINAL
            WHERE {asked} AND t >= {closed} AND t < {gathered} AND t < {end}
            UNION ALL
            SELECT id AS series, [toUnixTimestamp64Milli(ts)] AS times, [number] AS values
            FROM {schema.ARRIVALS} ARRAY JOIN metrics AS metric, ids AS id, numbers AS number
            WHERE ts >= toDateTime64({gathered}, 3, 'UTC') AND ts < {end}
                AND metric IN {{metrics:Array(String)}}
                AND id IN {{series:Array(UInt64)}}
        ) AS o{lasts}
        GROUP BY series HAVING notEmpty(xs)"""


def _columns(wanted: Wanted, forms: dict[Part, str]) -> str:
    """An aggregate for each part."""
    texts = (forms[part] for part in wanted.parts)
    filled = (text % wanted.share if "%s" in text else text for text in texts)
    return ", ".join(f"{text} AS `{part}`" for part, text in zip(wanted.parts, filled, strict=True))


def _counted(wanted: Wanted) -> str:
    slots = wanted.slots
    passed = f"((time - {slots.start}) % {slots.width} / 1000)"  # seconds since the slot began
    forms = {part: form.replace("passed", passed) for part, form in _OF_ROWS.items()}
    return f"{_slot('time', slots)}, {_columns(wanted, forms)}"


def _slot(time: str, slots: Slots) -> str:
    return f"toInt32(intDiv({time} - {slots.start}, {slots.width})) AS slot"
