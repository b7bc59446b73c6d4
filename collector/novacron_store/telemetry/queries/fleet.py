"""How every machine is now: one row each, for the page that shows them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import samples, schema
from novacron_store.telemetry.cheaply import CHEAPLY
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.queries.catalog import FRESH_S
from novacron_store.telemetry.samples import UNKNOWN, Borders

_LIVE_S = 310  # who reports every five minutes, or more often, is heard of within this time
_RATE_S = 150  # two scrapes of an agent that scrapes every minute
_RATE_SAMPLES = 7  # one minute of an agent that scrapes every ten seconds

_COUNTERS = (
    "'vm.disk.io', 'vm.network.io', 'system.disk.io', 'system.network.io', 'libvirt.host.cpu.time'"
)
_GAUGES = (
    "'vm.state', 'vm.cpu.count', 'vm.cpu.utilization', 'vm.memory.usage', 'vm.memory.limit', "
    "'system.cpu.logical.count', 'system.cpu.utilization', 'system.memory.usage', "
    "'system.memory.limit', 'libvirt.host.cpu.count', 'libvirt.host.memory.usage', "
    "'libvirt.host.memory.limit'"
)
# A host's traffic is counted where it leaves the host, not again at each guest's interface.
_INNER_INTERFACE = "match(attributes['network.interface.name'], '^(lo$|vnet|tap|veth|virbr)')"
_IDLE = "attributes['cpu.mode'] IN ('idle', 'iowait')"
_USED = "attributes['system.memory.state'] = 'used'"
# What a series is to the page; 'nothing' of it is shown. Numbers compare faster than names.
_ROLES = (
    "''nothing'', ''state'', ''utilization'', ''idle share'', ''idle time'', ''busy time'', "
    "''cpus'', ''hypervisor cpus'', ''usage'', ''host usage'', ''hypervisor usage'', ''limit'', "
    "''hypervisor limit'', ''receive'', ''transmit'', ''read'', ''write''"
)
_ROLE = f"""CAST(multiIf(
    metric = 'vm.state', 'state',
    metric = 'vm.cpu.utilization', 'utilization',
    metric = 'system.cpu.utilization' AND {_IDLE}, 'idle share',
    metric = 'libvirt.host.cpu.time', if({_IDLE}, 'idle time', 'busy time'),
    metric IN ('vm.cpu.count', 'system.cpu.logical.count'), 'cpus',
    metric = 'libvirt.host.cpu.count', 'hypervisor cpus',
    metric = 'vm.memory.usage', 'usage',
    metric = 'system.memory.usage' AND {_USED}, 'host usage',
    metric = 'libvirt.host.memory.usage' AND {_USED}, 'hypervisor usage',
    metric IN ('vm.memory.limit', 'system.memory.limit'), 'limit',
    metric = 'libvirt.host.memory.limit', 'hypervisor limit',
    metric LIKE '%.network.io' AND {_INNER_INTERFACE}, 'nothing',
    metric LIKE '%.network.io' AND attributes['network.io.direction'] = 'receive', 'receive',
    metric LIKE '%.network.io' AND attributes['network.io.direction'] = 'transmit', 'transmit',
    metric LIKE '%.disk.io' AND attributes['disk.io.direction'] = 'read', 'read',
    metric LIKE '%.disk.io' AND attributes['disk.io.direction'] = 'write', 'write',
    'nothing'), 'Enum8({_ROLES})')"""
_NOW = "fromUnixTimestamp64Milli({now:Int64}, 'UTC')"
_MACHINES = f"""
SELECT entity, argMax(t.entity_type, last_seen) AS entity_type
FROM {schema.ENTITIES} AS t GROUP BY entity HAVING entity_type IN ('vm', 'host')"""


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


def fleet_now(
    client: Client, now: datetime | None = None, borders: Borders = UNKNOWN
) -> list[FleetRow]:
    """Every VM and host heard of in the last 15 minutes; `state` is empty for a host.

    Of a machine that reports, what it told in the last 5 minutes.
    """
    at = int((now or datetime.now(UTC)).timestamp() * 1000)
    with contract_errors():
        recent = samples.as_stored(borders).between(at // 1000 - _LIVE_S)
        rows = client.query(_fleet(recent, _LIVE_S, "1"), parameters={"now": at}).result_rows
        every = {row[0] for row in client.query(f"{_MACHINES} {CHEAPLY}").result_rows}
        silent = every.difference(row[0] for row in rows)
        if silent:
            recent = samples.as_stored(borders).between(at // 1000 - FRESH_S)
            rows = [*rows, *_silent(client, recent, at, silent, every - silent)]
    return [_row(*row) for row in sorted(rows, key=itemgetter(0))]


def _silent(
    client: Client, recent: str, at: int, silent: set[str], live: set[str]
) -> Sequence[Sequence[Any]]:
    """Rows of machines that fell silent a while ago; the shorter list says which these are."""
    few, which = (silent, "IN") if len(silent) <= len(live) else (live, "NOT IN")
    entities = f"s.entity {which} {{entities:Array(String)}}"
    parameters = {"now": at, "entities": sorted(few)}
    statement = _fleet(recent, FRESH_S, entities)
    return client.query(statement, parameters=parameters).result_rows


def _fleet(recent: str, window_s: int, entities: str) -> str:
    """Rows of machines that meet the condition `entities`, by what they told in `window_s`, which
    is among the samples `recent`; of a time that is there twice the smallest value.
    """
    return f"""
SELECT entity, any(e.entity_type), argMaxIf(label, newest, role = 'state' AND value = 1),
    toUnixTimestamp64Milli(max(newest)),
    coalesce(
        anyIfOrNull(value, role = 'utilization'),
        1 - sumIfOrNull(value, role = 'idle share'),
        1 - sumIfOrNull(rate, role = 'idle time')
            / nullIf(sumIfOrNull(rate, role IN ('idle time', 'busy time')), 0)),
    coalesce(anyIfOrNull(value, role = 'cpus'), anyIfOrNull(value, role = 'hypervisor cpus')),
    coalesce(
        anyIfOrNull(value, role = 'usage'),
        anyIfOrNull(value, role = 'host usage'),
        anyIfOrNull(value, role = 'hypervisor usage')),
    coalesce(
        anyIfOrNull(value, role = 'limit'), anyIfOrNull(value, role = 'hypervisor limit')),
    sumIfOrNull(rate, role = 'receive'), sumIfOrNull(rate, role = 'transmit'),
    sumIfOrNull(rate, role = 'read'), sumIfOrNull(rate, role = 'write')
FROM (
    SELECT series, max(ts) AS newest, minArgMax(s.value, ts) AS value,
        arraySort(groupArrayIf((toUnixTimestamp64Milli(ts), s.value),
            s.metric IN ({_COUNTERS}) AND ts > {_NOW} - INTERVAL {_RATE_S} SECOND)) AS every,
        arraySlice(arrayFilter((point, passed, n) -> passed > 0 OR n = 1,
            every, arrayDifference(every.1), arrayEnumerate(every)), -{_RATE_SAMPLES}) AS tail,
        arrayMap(x -> x.2, tail) AS counted,
        (tail[-1].1 - tail[1].1) / 1000 AS seconds,
        arraySum(arrayMap((x, d) -> if(d < 0, x, d), counted, arrayDifference(counted)))
            / if(length(tail) > 1 AND seconds > 0, seconds, NULL) AS rate
    FROM {recent} AS s
    WHERE s.metric IN ({_COUNTERS}, {_GAUGES}) AND {entities}
        AND ts > {_NOW} - INTERVAL {window_s} SECOND AND ts <= {_NOW} + INTERVAL 1 MINUTE
        AND NOT isNaN(s.value)
    GROUP BY series
) AS n
INNER ANY JOIN (
    SELECT series, entity, {_ROLE} AS role,
        if(role = 'state', attributes['vm.state'], '') AS label
    FROM {schema.SERIES} WHERE metric IN ({_COUNTERS}, {_GAUGES}) AND role != 'nothing'
) AS l USING (series)
INNER JOIN (
{_MACHINES}
) AS e USING (entity)
GROUP BY entity
{CHEAPLY}"""


def _row(entity: str, entity_type: str, state: str, seen_ms: int, *values: Any) -> FleetRow:
    return FleetRow(
        entity, entity_type, state, datetime.fromtimestamp(seen_ms / 1000, UTC), *values
    )
