"""Processes that report of themselves: which there are, and their newest figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import samples, schema
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.queries.catalog import FRESH_S
from novacron_store.telemetry.samples import UNKNOWN, Borders

_RATE_MS = 60_000  # a rate is that of the last minute before the newest sample, or of the last two

_ASKED = "{since:DateTime64(3, 'UTC')}"
_SERVICES = f"""
SELECT entity, resource, toUnixTimestamp64Milli(newest)
FROM (
    SELECT entity, max(ts) AS newest FROM {samples.as_stored().since(_ASKED)}
    WHERE metric = {{metric:String}} AND ts >= {_ASKED}
    GROUP BY entity
) AS s
INNER JOIN (
    SELECT entity, argMax(t.resource, last_seen) AS resource FROM {schema.ENTITIES} AS t
    WHERE entity_type = 'service' GROUP BY entity
) AS e USING (entity)
WHERE resource['service.name'] = {{name:String}}
ORDER BY newest DESC, entity
"""

_SINCE = f"fromUnixTimestamp64Milli({{now:Int64}}, 'UTC') - INTERVAL {FRESH_S} SECOND"
_FIGURES = f"""
SELECT n.metric, l.attributes, n.at, n.value,
    if(l.monotonic AND length(n.tail) > 1, n.grown * 1000 / (n.tail[-1].1 - n.tail[1].1), NULL)
FROM (
    SELECT metric, series, at, points[-1].2 AS value,
        arrayCount(x -> x.1 >= at - {_RATE_MS}, points) AS lately,
        arraySlice(points, -least(greatest(lately, 2), length(points))) AS tail, tail.2 AS counted,
        arraySum(arrayMap((x, d) -> if(d < 0, x, d), counted, arrayDifference(counted))) AS grown
    FROM (
        SELECT metric, series, max(toUnixTimestamp64Milli(ts)) AS at,
            arraySort(groupArray((toUnixTimestamp64Milli(ts), s.value))) AS points
        FROM %s AS s
        WHERE metric IN {{metrics:Array(String)}} AND entity = {{entity:String}}
            AND ts > {_SINCE} AND NOT isNaN(s.value)
        GROUP BY metric, series
    )
) AS n
INNER ANY JOIN (
    SELECT series, attributes, monotonic FROM {schema.SERIES}
    WHERE metric IN {{metrics:Array(String)}} AND entity = {{entity:String}}
) AS l USING (series)
ORDER BY n.metric, n.at
"""


@dataclass(frozen=True, slots=True)
class Service:
    entity: str
    resource: Mapping[str, str]
    seen: datetime  # its newest sample


@dataclass(frozen=True, slots=True)
class Figure:
    """The newest value of a series; `rate` per second of a counter, where it is known."""

    metric: str
    attributes: Mapping[str, str]
    ts: datetime
    value: float
    rate: float | None


def services(client: Client, name: str, metric: str, since: datetime) -> list[Service]:
    """Every service called `name` that sent `metric` since then, the one heard of last first."""
    parameters = {"name": name, "metric": metric, "since": since}
    with contract_errors():
        rows = client.query(_SERVICES, parameters=parameters).result_rows
    return [Service(entity, resource, _moment(ms)) for entity, resource, ms in rows]


def figures(
    client: Client,
    entity: str,
    metrics: Sequence[str],
    now: datetime,
    borders: Borders = UNKNOWN,
) -> list[Figure]:
    """Of those `metrics` that `entity` sent in the last 15 minutes; of each metric the newest
    series come last."""
    at = int(now.timestamp() * 1000)
    parameters = {"entity": entity, "metrics": list(metrics), "now": at}
    with contract_errors():
        recent = samples.once(borders).between(at // 1000 - FRESH_S)
        rows = client.query(_FIGURES % recent, parameters=parameters).result_rows
    return [
        Figure(metric, labels, _moment(ms), value, rate) for metric, labels, ms, value, rate in rows
    ]


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
