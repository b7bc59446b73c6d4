"""Closed hours: the windows of a series packed to one row.

Values that are decimals of a few places, as agents send them, become integers, and integers steps:
0.9 bytes a sample where a Float64 takes 1.7. What is not decimal stays as it is. A value is packed
only if it comes back bit by bit. Series of an entity that were read at the same times share these.

Nothing is changed in place: an hour is packed again as a newer version of some entities' rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.room import ONLY_WITH_ROOM, written

_PLACES = (0, 1, 2, 3, 4, 6)
_LARGEST = 9e15  # up to here a Float64 holds every integer
HOUR = "toDateTime({hour:UInt32}, 'UTC')"
CONCERNED = "(empty({entities:Array(String)}) OR entity IN {entities:Array(String)})"
COUNTERS = (
    f"(SELECT series FROM {schema.SERIES} "
    "WHERE kind = 'sum' AND monotonic AND temporality = 'cumulative')"
)
STEP = "if(now < before, now, now - before)"  # a smaller value: the counter restarted
STEP_IN = f"if(counter AND known, {STEP}, 0)"  # to `now`, from the hour before


def before_hour(hour: str, of: str = "true") -> str:
    """SQL: joins what was last in the hour before the DateTime `hour`, as `before`, of the series
    that meet `of`."""
    return f"""
LEFT ANY JOIN (
    SELECT metric, entity, series, last AS before, true AS known
    FROM {schema.BUCKETS_1H} FINAL WHERE t = {hour} - INTERVAL 1 HOUR AND {of}
) AS q USING (metric, entity, series)"""


CLASS = "toUInt32(cityHash64(mapSort(attributes)))"
OF_CLASS = f"""
LEFT ANY JOIN (SELECT series, {CLASS} AS class FROM {schema.SERIES}) AS s USING (series)"""
# By twelve windows at most: their order is made here, and not expected of how they were read.
_IN_ORDER = "arrayFlatten(arraySort((x, t) -> t, groupArray(w.{0}), groupArray(w.t)))"
_HOUR_OF_WINDOWS = f"""{schema.WINDOWS} FINAL
    WHERE t >= {HOUR} AND t < {HOUR} + INTERVAL 1 HOUR AND {CONCERNED}"""
# What series of an entity that were read together have in common.
_ID = "cityHash64(arraySort(groupArray((w.t, cityHash64(w.times)))))"
_PACK_TIMES = f"""
INSERT INTO {schema.TIMES} (hour, entity, id, first, steps, retention)
SELECT {HOUR}, entity, id, any(moments[1]),
    any(arrayMap(x -> toInt32(x), arrayDifference(moments))), retention
FROM (
    SELECT any(w.entity) AS entity, min(w.retention) AS retention, {_ID} AS id,
        {_IN_ORDER.format("times")} AS moments
    FROM (SELECT * FROM {_HOUR_OF_WINDOWS}) AS w GROUP BY series
)
GROUP BY retention, entity, id
"""


def decimal(places: int, numbers: str) -> str:
    """SQL: whether all `numbers` are integers / 10^places, which give them back bit by bit."""
    power = 10**places
    return (
        f"arrayAll(x -> abs(x) < {_LARGEST / power} AND round(x * {power}) / {power} = x "
        f"AND NOT (x = 0 AND sign(1 / x) < 0), {numbers})"
    )


def scale(*conditions: Callable[[int], str]) -> str:
    """SQL: the least number of places for which all `conditions` hold, or -1."""
    cases = [" AND ".join(holds(places) for holds in conditions) for places in _PLACES]
    found = ", ".join(f"{case}, {n}" for case, n in zip(cases, _PLACES, strict=True))
    return f"toInt8(multiIf({found}, -1))"


POWER = "toFloat64(intExp10(greatest(scale, 0)))"  # what integers of a row are divided by


_PACK = f"""
INSERT INTO {schema.BLOCKS}
    (metric, class, entity, series, hour, version, times, starts, scale, base, steps, floats,
     carried, retention)
WITH {POWER} AS power, arrayMap(x -> toInt64(round(x * power)), numbers) AS whole,
    arrayFirst(x -> NOT isNaN(x), numbers) AS now, series IN {COUNTERS} AS counter
SELECT metric, class, entity, series, {HOUR}, {{version:UInt64}}, id, starts,
    {scale(lambda places: decimal(places, "numbers"))} AS scale,
    if(scale < 0, 0, whole[1]), if(scale < 0, [], arrayDifference(whole)),
    if(scale < 0, numbers, []), {STEP_IN}, retention
FROM (
    SELECT any(w.metric) AS metric, any(w.entity) AS entity, series, min(w.retention) AS retention,
        {_ID} AS id, {_IN_ORDER.format("values")} AS numbers,
        arraySort(groupArray((w.t, w.starts, length(w.times)))) AS told,
        arrayDistinct(arrayFlatten(told.2)) AS different,
        if(length(different) = 1, different, arrayFlatten(arrayMap(
            (of, n) -> if(length(of) = 1, arrayResize(of, n, of[1]), of), told.2, told.3)))
            AS starts
    FROM (SELECT * FROM {_HOUR_OF_WINDOWS}) AS w GROUP BY series
) AS p
{OF_CLASS}{before_hour(HOUR)}
"""

# Reading. Rows of arrays: `moments` in Unix milliseconds.
_BLOCKS = f"""SELECT retention, metric, entity, series, hour, times, starts, if(scale < 0, floats,
            arrayMap(x -> (x + base) / {POWER}, arrayCumSum(steps))) AS numbers
    FROM {schema.BLOCKS} %s WHERE %s"""
_TIMES = f"""SELECT hour, entity, id, arrayMap(x -> x + first, arrayCumSum(steps)) AS moments
    FROM {schema.TIMES} WHERE %s"""


def rows(where: str, final: bool = True) -> str:
    """Samples of the hours that meet `where` (of hour and entity), to be read FROM: as samples.py
    has them."""
    blocks = _BLOCKS % ("FINAL" if final else "", where)
    return f"""SELECT retention, metric, entity, series,
        fromUnixTimestamp64Milli(time, 'UTC') AS ts,
        fromUnixTimestamp64Milli(start, 'UTC') AS start_ts, value, hour
    FROM (
        SELECT retention, metric, entity, series, hour, starts, numbers, moments
        FROM ({blocks}) AS b
        LEFT SEMI JOIN ({_TIMES % where}) AS t
            ON b.hour = t.hour AND b.entity = t.entity AND b.times = t.id
    )
    ARRAY JOIN moments AS time, numbers AS value,
        if(length(starts) = 1, arrayResize(starts, length(moments), starts[1]), starts) AS start"""


_OF_HOUR = f"hour = {HOUR} AND {CONCERNED}"
_UNPACK = f"""
INSERT INTO {schema.WINDOWS}
    (metric, entity, series, t, version, times, starts, values, retention)
SELECT metric, entity, series, t, {{version:UInt64}}, p.1,
    if(length(arrayDistinct(p.2)) = 1, [p.2[1]], p.2), p.3, retention
FROM (
    SELECT series, toStartOfFiveMinutes(ts) AS t, arraySort(groupArray((
        toUnixTimestamp64Milli(ts), toUnixTimestamp64Milli(start_ts), r.value))) AS p,
        any(r.metric) AS metric, any(r.entity) AS entity, any(r.retention) AS retention
    FROM ({rows(_OF_HOUR)}) AS r
    GROUP BY series, t
)
"""
_INSERTING = {**ONLY_WITH_ROOM, "max_threads": "1", "optimize_on_insert": "0"}
_WINDOWS_THERE = f"""SELECT max(version) FROM {schema.WINDOWS}
WHERE t >= {HOUR} AND t < {HOUR} + INTERVAL 1 HOUR"""
_BLOCKS_THERE = f"SELECT max(version) FROM {schema.BLOCKS} WHERE hour = {HOUR}"


def pack(client: Client, hour: int, entities: Sequence[str] = ()) -> None:
    """Windows of the hour (Unix seconds) of those entities (none: of all) to blocks; readers are
    to read the hour from these once this returned."""
    with written(client):
        _insert(client, _PACK_TIMES, hour, entities, 0)
        _insert(client, _PACK, hour, entities, _next(client, _BLOCKS_THERE, hour))


def unpack(client: Client, hour: int, entities: Sequence[str] = ()) -> None:
    """Blocks to windows, so that more can be gathered to these."""
    with written(client):
        _insert(client, _UNPACK, hour, entities, _next(client, _WINDOWS_THERE, hour))


def _next(client: Client, newest: str, hour: int) -> int:
    """Larger than any version there, and not by a clock, which may have been ahead."""
    return int(client.query(newest, parameters={"hour": hour}).result_rows[0][0]) + 1


def _insert(
    client: Client, statement: str, hour: int, entities: Sequence[str], version: int
) -> None:
    parameters = {"hour": hour, "entities": list(entities), "version": version}
    client.command(statement, parameters=parameters, settings=_INSERTING)
