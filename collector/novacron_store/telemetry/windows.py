"""Arrivals gathered to windows: all samples of a series in five minutes become one row.

A window may be gathered again, when more came for it: what is there and what came are put together,
so that nothing is lost with the arrivals. Of samples of one series and time the smallest stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.retention import Retention, class_sql
from novacron_store.telemetry.room import ONLY_WITH_ROOM, written

_WINDOW = "toDateTime({window:UInt32}, 'UTC')"
# Pieces of series: rows of arrays. A machine's rows that list the same series with the same starts
# are turned into columns, all of them at once, which takes a fifth less than sample by sample.
_COME = f"""
        SELECT name AS metric, entity, id AS series, moments AS times, numbers AS values,
            [toUnixTimestamp64Milli(since)] AS starts,
            arrayExists(d -> d <= 0, arrayPopFront(arrayDifference(moments))) AS untidy
        FROM (
            SELECT entity, any(r.metrics) AS names, any(r.ids) AS ids, any(r.starts) AS sinces,
                groupArray(toUnixTimestamp64Milli(ts)) AS moments,
                groupArrayForEach(r.numbers) AS columns
            FROM (
                SELECT * FROM {schema.ARRIVALS} WHERE toStartOfFiveMinutes(ts) = {_WINDOW} AND %s
                ORDER BY entity, ts
            ) AS r
            GROUP BY entity, cityHash64(r.ids, r.starts)
        )
        ARRAY JOIN names AS name, ids AS id, sinces AS since, columns AS numbers"""
_THERE = f"""
        SELECT metric, entity, series, times, values, starts, false AS untidy
        FROM {schema.WINDOWS} FINAL
        WHERE t = {_WINDOW} AND %s"""
_CONCERNED = "(empty({entities:Array(String)}) OR entity IN {entities:Array(String)})"
# A series stays in the class of its hour: versions of a row in two classes would expire apart, and
# are not put together where closed hours are read.
_CLASS_OF_HOUR = f"""
LEFT ANY JOIN (
    SELECT series, min(w.retention) AS kept, true AS known FROM {schema.WINDOWS} AS w
    WHERE w.t >= toStartOfHour({_WINDOW}) AND w.t < toStartOfHour({_WINDOW}) + INTERVAL 1 HOUR
        AND {_CONCERNED}
    GROUP BY series
) AS h USING (series)"""
# A series that came in several pieces, or out of order, is put in order. No lambda captures an
# array: ClickHouse copies it for each element, and a series of many samples would take all memory.
_GATHER = f"""
INSERT INTO {schema.WINDOWS}
    (metric, entity, series, t, version, times, starts, values, retention)
SELECT metric, entity, series, {_WINDOW}, {{version:UInt64}}, if(messy, tidy.1, every_time),
    multiIf(NOT messy, told[1], length(arrayDistinct(tidy.3)) = 1, [tidy.3[1]], tidy.3),
    if(messy, tidy.2, every_value), %s
FROM (
    SELECT any(p.metric) AS metric, any(p.entity) AS entity, series,
        count() > 1 OR any(p.untidy) AS messy,
        groupArrayArray(p.times) AS every_time, groupArrayArray(p.values) AS every_value,
        groupArray(p.starts) AS told, groupArray(length(p.times)) AS sizes,
        if(messy, arraySort(arrayZip(every_time, every_value, arrayFlatten(
            arrayMap((starts, n) -> arrayResize(starts, n, starts[1]), told, sizes)))), [])
            AS ordered,
        arrayFilter((sample, passed, n) -> passed > 0 OR n = 1,
            ordered, arrayDifference(ordered.1), arrayEnumerate(ordered)) AS tidy
    FROM (%s
    ) AS p
    GROUP BY series
) AS g%s
"""
_FIRST = _COME % "true"
_AGAIN = f"{_THERE}\n        UNION ALL\n        SELECT * FROM ({_COME})" % ((_CONCERNED,) * 2)
_INSERTING = {**ONLY_WITH_ROOM, "max_threads": "1", "optimize_on_insert": "0"}

_NEWEST = f"SELECT max(version) FROM {schema.WINDOWS} WHERE t = {_WINDOW}"


def gather(client: Client, window: int, retention: Retention) -> None:
    """For the first time; afterwards, what has arrived by now is no longer needed."""
    statement = _GATHER % (class_sql(retention, "metric"), _FIRST, "")
    _run(client, statement, {"window": window, "version": 1})


def gather_again(
    client: Client, window: int, retention: Retention, entities: Sequence[str] = ()
) -> None:
    """What came of those entities (none: of all) together with what was gathered before."""
    newest = client.query(_NEWEST, parameters={"window": window}).result_rows[0][0]
    version = int(newest) + 1
    parameters = {"window": window, "version": version, "entities": list(entities)}
    known = f"if(known, toString(kept), {class_sql(retention, 'metric')})"
    _run(client, _GATHER % (known, _AGAIN, _CLASS_OF_HOUR), parameters)


def _run(client: Client, statement: str, parameters: dict[str, Any]) -> None:
    with written(client):
        client.command(statement, parameters=parameters, settings=_INSERTING)


# An hour of arrivals that is over, gathered, and read elsewhere, whatever border a reader holds.
_GATHERED_HOURS = f"""
SELECT toStartOfHour(arrived) AS hour, max(ts) AS newest, countIf(toStartOfFiveMinutes(ts) IN (
        SELECT window FROM {schema.DIRTY} FINAL WHERE NOT done)) AS waiting
FROM {schema.ARRIVALS} GROUP BY hour
HAVING hour + toIntervalSecond({{kept:Int64}} + 3600) <= now('UTC') AND waiting = 0
    AND newest < toDateTime64({{unread:UInt32}}, 3, 'UTC')
ORDER BY hour
"""


_HOURS = (
    f"SELECT DISTINCT toUnixTimestamp(toStartOfHour(t)) FROM {schema.WINDOWS} WHERE t < {_WINDOW}"
)
_PARTITIONS = f"""SELECT DISTINCT partition_id FROM system.parts
WHERE active AND database = currentDatabase() AND table = '{schema.WINDOWS}'
    AND partition LIKE {{hour:String}}"""


def closed_hours(client: Client, before: int) -> list[int]:
    """Hours of which windows are still there, though they were closed; in Unix seconds."""
    return [row[0] for row in client.query(_HOURS, parameters={"window": before}).result_rows]


def drop_hour(client: Client, hour: int) -> None:
    """Drop the windows of a closed hour (Unix seconds), which nobody reads any more."""
    parameters = {"hour": f"%'{datetime.fromtimestamp(hour, UTC):%Y-%m-%d %H:%M:%S}')"}
    for (partition,) in client.query(_PARTITIONS, parameters=parameters).result_rows:
        client.command(f"ALTER TABLE {schema.WINDOWS} DROP PARTITION ID '{partition}'")


def drop_gathered(client: Client, unread: int, kept_s: int) -> None:
    """Drop the hours of arrivals of which nothing is needed: all of it lies before `unread` (Unix
    seconds) and was gathered, and they ended `kept_s` ago, so that nothing comes to them."""
    parameters = {"unread": unread, "kept": kept_s}
    for hour, *_ in client.query(_GATHERED_HOURS, parameters=parameters).result_rows:
        client.command(f"ALTER TABLE {schema.ARRIVALS} DROP PARTITION '{hour:%Y-%m-%d %H:%M:%S}'")
