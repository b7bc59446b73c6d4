"""How much is stored, and how much room is left where it is stored."""

from __future__ import annotations

from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.samples import UNKNOWN

_PARTS = f"""
SELECT (
        SELECT sum(length(steps) + length(floats)) FROM {schema.BLOCKS}
        WHERE hour < {UNKNOWN.closed_sql}
    ) + (
        SELECT sum(length(times)) FROM {schema.WINDOWS}
        WHERE t >= {UNKNOWN.closed_sql} AND t < {UNKNOWN.gathered_sql}
    ) + (
        SELECT sum(length(numbers)) FROM {schema.ARRIVALS}
        WHERE ts >= toDateTime64({UNKNOWN.gathered_sql}, 3, 'UTC')
    ), sumIf(rows, table = {{series:String}}), sum(bytes_on_disk)
FROM system.parts WHERE active AND database = currentDatabase()"""
_DISK = "SELECT free_space, total_space FROM system.disks WHERE name = 'default'"


@dataclass(frozen=True, slots=True)
class Usage:
    """Rows are counted before equal ones collapse; `disk_*` are of the disk the store is on."""

    samples: int
    series: int
    bytes: int
    disk_free: int
    disk_total: int


def usage(client: Client) -> Usage:
    """
    Raises:
        Unavailable: the store does not answer.
    """
    names = {"series": schema.SERIES}
    with contract_errors():
        samples, series, size = client.query(_PARTS, parameters=names).result_rows[0]
        free, total = client.query(_DISK).result_rows[0]
    return Usage(samples, series, size, free, total)
