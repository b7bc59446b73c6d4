"""How every machine is now: one row each, for the page that shows them all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.queries.catalog import FRESH_S

_RATE_S = 150  # two scrapes of an agent that scrapes every minute
_RATE_SAMPLES = 7  # one minute of an agent that scrapes every ten seconds

_COUNTERS = (
    "('vm.disk.io', 'vm.network.io', 'system.disk.io', 'system.network.io', "
    "'libvirt.host.cpu.time')"
)
_GAUGES = (
    "('vm.state', 'vm.cpu.count', 'vm.cpu.utilization', 'vm.memory.usage', 'vm.memory.limit', "
    "'system.cpu.logical.count', 'system.cpu.utilization', 'system.memory.usage', "
    "'system.memory.limit', 'libvirt.host.memory.usage', 'libvirt.host.memory.limit')"
)
# A host's traffic is counted where it leaves the host, not again at each guest's interface.
_INNER_INTERFACE = "match(attributes['network.interface.name'], '^(lo$|vnet|tap|veth|virbr)')"
_NOW = "fromUnixTimestamp64Milli({now:Int64}, 'UTC')"
_IO = "metric IN ('vm.{0}.io', 'system.{0}.io') AND label = '{1}'"

# Duplicates need no care here: the newest value is the same, and a step between equals is 0.
_FLEET = f"""
SELECT entity, any(e.entity_type), argMaxIf(label, newest, metric = 'vm.state' AND value = 1),
    toUnixTimestamp64Milli(max(newest)),
    coalesce(
        anyIfOrNull(value, metric = 'vm.cpu.utilization'),
        1 - sumIfOrNull(value, metric = 'system.cpu.utilization' AND label IN ('idle', 'iowait')),
        1 - sumIfOrNull(rate, metric = 'libvirt.host.cpu.time' AND label IN ('idle', 'iowait'))
            / nullIf(sumIfOrNull(rate, metric = 'libvirt.host.cpu.time'), 0)),
    anyIfOrNull(value, metric IN ('vm.cpu.count', 'system.cpu.logical.count')),
    coalesce(
        anyIfOrNull(value, metric = 'vm.memory.usage'),
        anyIfOrNull(value, metric = 'system.memory.usage' AND label = 'used'),
        anyIfOrNull(value, metric = 'libvirt.host.memory.usage' AND label = 'used')),
    coalesce(
        anyIfOrNull(value, metric IN ('vm.memory.limit', 'system.memory.limit')),
        anyIfOrNull(value, metric = 'libvirt.host.memory.limit')),
    sumIfOrNull(rate, {_IO.format("network", "receive")}),
    sumIfOrNull(rate, {_IO.format("network", "transmit")}),
    sumIfOrNull(rate, {_IO.format("disk", "read")}),
    sumIfOrNull(rate, {_IO.format("disk", "write")})
FROM (
    SELECT any(s.metric) AS metric, any(s.entity) AS entity, series, max(ts) AS newest,
        argMax(s.value, ts) AS value,
        arraySlice(arraySort(groupArrayIf((ts, s.value),
            s.metric IN {_COUNTERS} AND ts > {_NOW} - INTERVAL {_RATE_S} SECOND)),
            -{_RATE_SAMPLES}) AS tail,
        arrayMap(x -> x.2, tail) AS counted,
        dateDiff('ms', tail[1].1, tail[-1].1) / 1000 AS seconds,
        arraySum(arrayMap((x, d) -> if(d < 0, x, d), counted, arrayDifference(counted)))
            / if(length(tail) > 1 AND seconds > 0, seconds, NULL) AS rate
    FROM {schema.SAMPLES} AS s
    WHERE (s.metric IN {_COUNTERS} OR s.metric IN {_GAUGES})
        AND ts > {_NOW} - INTERVAL {FRESH_S} SECOND AND ts <= {_NOW} + INTERVAL 1 MINUTE
        AND toStartOfHour(ts) >= toStartOfHour({_NOW} - INTERVAL {FRESH_S} SECOND)
        AND NOT isNaN(s.value)
    GROUP BY series
) AS n
INNER JOIN (
    SELECT DISTINCT series, attributes[multiIf(
            metric = 'vm.state', 'vm.state',
            metric LIKE '%.disk.io', 'disk.io.direction',
            metric LIKE '%.network.io', 'network.io.direction',
            metric LIKE '%.memory.usage', 'system.memory.state',
            'cpu.mode')] AS label
    FROM {schema.SERIES}
    WHERE (metric IN {_COUNTERS} OR metric IN {_GAUGES}) AND NOT {_INNER_INTERFACE}
) AS l USING (series)
INNER JOIN (
    SELECT entity, argMax(t.entity_type, last_seen) AS entity_type
    FROM {schema.ENTITIES} AS t GROUP BY entity HAVING entity_type IN ('vm', 'host')
) AS e USING (entity)
GROUP BY entity
ORDER BY entity
"""


@dataclass(frozen=True, slots=True)
class FleetRow:
    """None where the machine does not tell. Rates are bytes per second over the last minute."""

    entity: str
    entity_type: str
    state: str
    seen: datetime
    cpu_utilization: float | None
    cpu_count: float | None
    memory_usage: float | None
    memory_limit: float | None
    network_receive: float | None
    network_transmit: float | None
    disk_read: float | None
    disk_write: float | None


def fleet_now(client: Client, now: datetime | None = None) -> list[FleetRow]:
    """Every VM and host heard of in the last 15 minutes; `state` is empty for a host."""
    at = int((now or datetime.now(UTC)).timestamp() * 1000)
    with contract_errors():
        rows = client.query(_FLEET, parameters={"now": at}).result_rows
    return [_row(*row) for row in rows]


def _row(entity: str, entity_type: str, state: str, seen_ms: int, *values: Any) -> FleetRow:
    return FleetRow(
        entity, entity_type, state, datetime.fromtimestamp(seen_ms / 1000, UTC), *values
    )
