"""Which metrics there are, and the newest values of one entity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import samples, schema
from novacron_store.telemetry.cheaply import CHEAPLY
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.metric import MetricInfo
from novacron_store.telemetry.samples import UNKNOWN, Borders

FRESH_S = 15 * 60  # what has not been heard of for longer is not "now"

_CATALOG = f"""
SELECT metric, argMax(kind, seen), argMax(temporality, seen), argMax(monotonic, seen),
    argMax(unit, seen), argMax(description, seen)
FROM {schema.METRICS}
GROUP BY metric
ORDER BY metric
"""

_SINCE = f"fromUnixTimestamp64Milli({{now:Int64}}, 'UTC') - INTERVAL {FRESH_S} SECOND"
_LATEST = f"""
SELECT n.metric, l.attributes, l.unit, l.kind, l.monotonic, toUnixTimestamp64Milli(n.newest),
    n.value
FROM (
    SELECT metric, series, max(ts) AS newest, minArgMax(s.value, ts) AS value
    FROM %s AS s
    WHERE entity = {{entity:String}} AND ts > {_SINCE} AND NOT isNaN(s.value)
    GROUP BY metric, series
) AS n
INNER ANY JOIN (
    SELECT series, attributes, unit, kind, monotonic FROM {schema.SERIES}
    WHERE entity = {{entity:String}}
) AS l USING (series)
ORDER BY n.metric, toString(l.attributes)
{CHEAPLY}
"""


@dataclass(frozen=True, slots=True)
class LatestValue:
    metric: str
    attributes: Mapping[str, str]
    unit: str
    kind: str
    monotonic: bool
    ts: datetime
    value: float


def catalog(client: Client) -> list[MetricInfo]:
    """Every metric, by name."""
    with contract_errors():
        return [MetricInfo(*row) for row in client.query(_CATALOG).result_rows]


def latest(
    client: Client, entity: str, now: datetime | None = None, borders: Borders = UNKNOWN
) -> list[LatestValue]:
    """The newest value of each series of `entity` that has one in the last 15 minutes."""
    at = int((now or datetime.now(UTC)).timestamp() * 1000)
    with contract_errors():
        recent = samples.as_stored(borders).between(at // 1000 - FRESH_S)
        rows = client.query(_LATEST % recent, parameters={"entity": entity, "now": at}).result_rows
    return [
        LatestValue(
            metric, labels, unit, kind, monotonic, datetime.fromtimestamp(ms / 1000, UTC), value
        )
        for metric, labels, unit, kind, monotonic, ms, value in rows
    ]
