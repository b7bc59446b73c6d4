"""Buckets of 5 minutes and of one hour: made of an hour's windows when it is closed, and how they
are read.

A bucket of a counter holds the step from the bucket before, whenever that was, so that buckets add
up to the increase of the samples, restarts of the counter included. The step into an hour is kept
by itself (`carried`), so that it can be put right without the hour's samples.

Buckets of 5 minutes are integers where samples are decimals, an hour of them in one row: 0.32 bytes
a sample where rows of Float64 take 0.7. They have no quantiles: of 20 samples these say little more
than the maximum does, and a sketch takes 0.25 bytes a sample.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.blocks import (
    CONCERNED,
    COUNTERS,
    HOUR,
    OF_CLASS,
    POWER,
    STEP,
    STEP_IN,
    before_hour,
    decimal,
    scale,
)
from novacron_store.telemetry.room import ONLY_WITH_ROOM, written
from novacron_store.telemetry.samples import UNKNOWN, Borders
from novacron_store.telemetry.schema import WINDOW_S

_DELTAS = f"(SELECT series FROM {schema.SERIES} WHERE kind = 'sum' AND temporality = 'delta')"

# A window as a bucket.
_BUCKET_COLUMNS = f"""metric, entity, series, retention, t,
        series IN {COUNTERS} AS counter, series IN {_DELTAS} AS delta,
        arrayFilter(x -> NOT isNaN(x), values) AS measured, toUInt32(length(measured)) AS count,
        measured[-1] AS last, measured[1] AS first, arrayMin(measured) AS min,
        arrayMax(measured) AS max, arraySum(measured) AS sum,
        multiIf(delta, sum, NOT counter, 0, arraySum(arrayMap(
            (x, d) -> if(d < 0, x, d), measured, arrayDifference(measured)))) AS inside"""
_OF_HOUR = f"""SELECT {_BUCKET_COLUMNS}
        FROM {schema.WINDOWS} FINAL
        WHERE t >= {HOUR} AND t < {HOUR} + INTERVAL 1 HOUR AND {CONCERNED}
            AND NOT has({{expired:Array(String)}}, toString(retention)) AND notEmpty(measured)"""


def _of_series(buckets: str) -> str:
    """The buckets of a series in the order of time, as arrays."""
    before = "arrayPushFront(arrayPopBack(last_of), first_of[1])"
    return f"""
    SELECT metric, entity, series, min(w.retention) AS retention, any(w.counter) AS counter,
        counter OR any(w.delta) AS grows,
        arraySort(groupArray((w.t, w.count, w.last, w.first, w.min, w.max, w.sum, w.inside))) AS p,
        p.1 AS ts, p.2 AS counts, p.3 AS last_of, p.4 AS first_of, p.5 AS min_of, p.6 AS max_of,
        p.7 AS sum_of,
        if(counter, arrayMap((x, now, before) -> x + {STEP}, p.8, first_of, {before}), p.8)
            AS grown_of,
        arrayReduce('{schema.SKETCH.replace("quantilesDD", "quantilesDDState")}',
            if(counter, [], groupArrayArray(w.measured))) AS sketch
    FROM ({buckets}) AS w GROUP BY metric, entity, series"""


# One thread takes a third less CPU than all do.
_JOINED = f"{OF_CLASS}{before_hour(HOUR)} SETTINGS max_threads = 1"

_ROLL_HOUR = f"""
INSERT INTO {schema.BUCKETS_1H} (metric, class, entity, series, t, version, count, min, max, sum,
    first, last, grown, carried, sketch, retention)
WITH first_of[1] AS now
SELECT metric, class, entity, series, {HOUR}, {{version:UInt64}}, arraySum(counts),
    arrayMin(min_of), arrayMax(max_of), arraySum(sum_of), first_of[1], last_of[-1],
    arraySum(grown_of), {STEP_IN}, sketch, retention
FROM ({_of_series(_OF_HOUR)}) AS b {_JOINED}
"""


def _nearly(places: int) -> str:
    """Sums of decimals miss theirs by rounding, and are kept as what they should be."""
    power = 10**places
    return (
        f"arrayAll(x -> abs(x) < {9e15 / power} AND abs(round(x * {power}) / {power} - x) "
        "<= 1e-14 * abs(x), arrayConcat(sum_of, grown_of))"
    )


_SCALE = scale(
    lambda places: decimal(places, "arrayConcat(last_of, first_of, min_of, max_of)"), _nearly
)
_WHOLE = "arrayMap(x -> toInt64(round(x * power)), {0}_of) AS {0}_i"
_ROLL_WINDOWS = f"""
INSERT INTO {schema.BUCKETS_5M} (metric, class, entity, series, hour, version, slots, counts,
    scale, base, lasts, firsts, mins, maxs, sums, grown, floats, carried, retention)
WITH {POWER} AS power,
    {", ".join(_WHOLE.format(name) for name in ("last", "first", "min", "max", "sum", "grown"))},
    arrayDifference(last_i) AS step_i, first_of[1] AS now
SELECT metric, class, entity, series, {HOUR}, {{version:UInt64}},
    arrayMap(t -> toUInt8((toUnixTimestamp(t) - {{hour:UInt32}}) / {WINDOW_S}), ts), counts,
    {_SCALE} AS scale, if(scale < 0, 0, last_i[1]), if(scale < 0, [], step_i),
    if(scale < 0, [], arrayMap((f, l, d) -> f - (l - d), first_i, last_i, step_i)),
    if(scale < 0, [], arrayMap((f, m) -> f - m, first_i, min_i)),
    if(scale < 0, [], arrayMap((l, m) -> m - l, last_i, max_i)),
    if(scale < 0, [], arrayMap((l, n, s) -> s - n * l, last_i, counts, sum_i)),
    if(scale < 0 OR NOT grows, [], grown_i),
    if(scale < 0, [last_of, first_of, min_of, max_of, sum_of, grown_of], []), {STEP_IN}, retention
FROM ({_of_series(_OF_HOUR)}) AS b {_JOINED}
"""

# Counters of an hour that have no bucket in the hour before.
_NEWCOMERS = f"""
SELECT metric, entity, series FROM {schema.BUCKETS_1H}
WHERE t = {HOUR} AND {CONCERNED} AND series IN {COUNTERS}
    AND series NOT IN (SELECT series FROM {schema.BUCKETS_1H} WHERE t = {HOUR} - INTERVAL 1 HOUR)"""
_CHANGED = f"""
SELECT metric, entity, series FROM {schema.BUCKETS_1H}
WHERE t = toDateTime({{changed:UInt32}}, 'UTC') AND {CONCERNED} AND series IN {COUNTERS}"""
_NEXT_HOURS = f"""
SELECT DISTINCT toUnixTimestamp(next) FROM (
    SELECT min(t) AS next FROM {schema.BUCKETS_1H}
    WHERE t > toDateTime({{changed:UInt32}}, 'UTC') AND (metric, entity, series) IN ({_CHANGED})
    GROUP BY series
)"""
_KEPT = {
    schema.BLOCKS: "metric, class, entity, series, hour, times, starts, scale, base, steps, "
    "floats, retention",
    schema.BUCKETS_1H: "metric, class, entity, series, t, count, min, max, sum, first, last, "
    "grown, sketch, retention",
    schema.BUCKETS_5M: "metric, class, entity, series, hour, slots, counts, scale, base, lasts, "
    "firsts, mins, maxs, sums, grown, floats, retention",
}
_CARRY = """
INSERT INTO {table} ({kept}, version, carried)
SELECT {kept}, version + 1, {step}
FROM (SELECT * FROM {table} FINAL WHERE {time} = {hour} AND (metric, entity, series) IN ({which}))
    AS b
INNER ANY JOIN (
    SELECT series, argMaxIf(last, t, t < {hour}) AS before, anyIf(first, t = {hour}) AS now
    FROM {hours} FINAL WHERE t <= {hour} AND (metric, entity, series) IN ({which})
    GROUP BY series HAVING countIf(t < {hour}) > 0
) AS p USING (series)
"""


def roll(
    client: Client, hour: int, entities: Sequence[str] = (), expired: Sequence[str] = ()
) -> None:
    """Buckets of an hour (Unix seconds), whose windows are there, of those entities (none: of all).
    Samples of the classes `expired` may be gone in part: their old buckets are better."""
    settings = {**ONLY_WITH_ROOM, "optimize_on_insert": "0"}
    parameters = {"hour": hour, "entities": list(entities), "expired": list(expired)}
    for statement, table, time in (
        (_ROLL_HOUR, schema.BUCKETS_1H, "t"),
        (_ROLL_WINDOWS, schema.BUCKETS_5M, "hour"),
    ):
        newest = f"SELECT max(version) FROM {table} WHERE {time} = {HOUR}"
        version = int(client.query(newest, parameters={"hour": hour}).result_rows[0][0]) + 1
        with written(client):
            client.command(
                statement, parameters=parameters | {"version": version}, settings=settings
            )
    if client.query(f"{_NEWCOMERS} LIMIT 1", parameters=parameters).row_count:
        _carry(client, _NEWCOMERS, parameters)


def follow(client: Client, changed: int, entities: Sequence[str] = ()) -> int:
    """After the hour `changed` was rolled again: put the steps from it right. How many hours have
    such steps."""
    parameters = {"changed": changed, "entities": list(entities)}
    found = client.query(_NEXT_HOURS, parameters=parameters).result_rows
    for (hour,) in found:
        _carry(client, _CHANGED, parameters | {"hour": hour})
    return len(found)


def _carry(client: Client, which: str, parameters: dict[str, object]) -> None:
    for table, time in (
        (schema.BUCKETS_1H, "t"),
        (schema.BUCKETS_5M, "hour"),
        (schema.BLOCKS, "hour"),
    ):
        statement = _CARRY.format(
            table=table, kept=_KEPT[table], time=time, which=which, step=STEP, hour=HOUR,
            hours=schema.BUCKETS_1H,
        )  # fmt: skip
        with written(client):
            client.command(statement, parameters=parameters)


# -- reading -----------------------------------------------------------------------------------

_LAST = "arrayMap(x -> x + base, arrayCumSum(lasts)) AS last_i"
_FIRST = "arrayMap((x, l, d) -> x + l - d, firsts, last_i, lasts) AS first_i"
_NO_GROWTH = "arrayResize([0.], length(slots), 0.)"
# Of each column what it takes of the packed ones, and how: arrays of an hour.
_UNPACKED: dict[str, tuple[tuple[str, ...], str]] = {
    "count": ((), "counts"),
    "last": ((_LAST,), "if(scale < 0, floats[1], arrayMap(x -> x / power, last_i))"),
    "first": ((_LAST, _FIRST), "if(scale < 0, floats[2], arrayMap(x -> x / power, first_i))"),
    "min": (
        (_LAST, _FIRST),
        "if(scale < 0, floats[3], arrayMap((x, f) -> (f - x) / power, mins, first_i))",
    ),
    "max": (
        (_LAST,),
        "if(scale < 0, floats[4], arrayMap((x, l) -> (l + x) / power, maxs, last_i))",
    ),
    "sum": (
        (_LAST,),
        "if(scale < 0, floats[5], "
        "arrayMap((x, n, l) -> (x + n * l) / power, sums, counts, last_i))",
    ),
    "increase": (
        (),
        "arrayMap((x, n) -> if(n = 1, x + carried, x), multiIf(scale < 0, floats[6], "
        f"notEmpty(grown), arrayMap(x -> x / power, grown), {_NO_GROWTH}), arrayEnumerate(slots))",
    ),
}
COLUMNS = tuple(_UNPACKED)


def closed(where: str, columns: Collection[str] = COLUMNS) -> str:
    """Buckets of 5 minutes of closed hours: class, metric, entity, series, t, and those columns."""
    taken = [(name, *_UNPACKED[name]) for name in columns]
    needed = dict.fromkeys(part for _, parts, _ in taken for part in parts)
    arrays = ", ".join([*needed, *(f"{form} AS {name}_of" for name, _, form in taken)])
    joined = ", ".join(f"{name}_of AS {name}" for name in columns)
    return f"""SELECT metric, class, entity, series,
        hour + toIntervalSecond({WINDOW_S} * slot) AS t, {", ".join(columns)}
    FROM (
        SELECT metric, class, entity, series, hour, slots, {POWER} AS power, {arrays}
        FROM {schema.BUCKETS_5M} FINAL WHERE {where}
    )
    ARRAY JOIN slots AS slot, {joined}"""


def _open(windows: str, borders: Borders, of: str, columns: Collection[str]) -> str:
    """The same of windows that are not closed, without class."""
    steps = "increase" in columns
    before = before_hour(borders.closed_sql, of) if steps else ""
    forms = {"count": "counts", "increase": "grown_of"}
    joined = ", ".join(
        f"{forms.get(name, f'{name}_of')} AS {'grown_in' if name == 'increase' else name}"
        for name in columns
    )
    told = ", ".join(
        f"grown_in + if(nth = 1, {STEP_IN}, 0) AS increase" if name == "increase" else name
        for name in columns
    )
    return f"""SELECT metric, entity, series, t, {told}
    FROM (SELECT *, first_of[1] AS now FROM ({_of_series(windows)}) AS b {before})
    ARRAY JOIN ts AS t, {joined}, arrayEnumerate(ts) AS nth"""


def five_minutes(
    borders: Borders = UNKNOWN,
    start: int = 0,
    end: int = 0,
    of: str = "true",
    columns: Collection[str] = COLUMNS,
) -> str:
    """Buckets of 5 minutes, to be read FROM: those of closed hours, and of windows after these; in
    Unix seconds those of a range, and some more. `of` is a condition on metric, entity and series.

    A counter that was silent in the whole hour before its open one has the step over that silence
    once its hour is closed.
    """
    hours = [f"hour < {borders.closed_sql}", of]
    opened = [f"t >= {borders.closed_sql}", f"t < {borders.gathered_sql}", of]
    if end:
        hours += [
            f"hour >= toStartOfHour(toDateTime({start}, 'UTC'))",
            f"hour < toDateTime({end}, 'UTC')",
        ]
    windows = f"""SELECT {_BUCKET_COLUMNS} FROM {schema.WINDOWS} FINAL
        WHERE {" AND ".join(opened)} AND notEmpty(measured)"""
    parts = [f"SELECT * EXCEPT class FROM ({closed(' AND '.join(hours), columns)})"]
    if not end or not borders.gathered or end > borders.closed:
        parts.append(_open(windows, borders, of, columns))
    return "(" + "\n    UNION ALL\n    ".join(parts) + ")"


HOURS_OF = f"""(SELECT retention, metric, class, entity, series, t, count, min, max, sum, first,
        last, grown + carried AS increase, sketch
    FROM {schema.BUCKETS_1H} FINAL WHERE %s)"""
HOURS = HOURS_OF % "true"
