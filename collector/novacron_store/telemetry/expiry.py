"""What is stored of each retention class, and dropping what has passed its time at once.

The engine drops expired parts by itself, within hours. Who makes a retention shorter as a disk
gets full, wants it now. A partition is of one class; it goes when all of it has expired.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.progress import revise
from novacron_store.telemetry.retention import Retention

_ROLLUPS = {schema.BUCKETS_5M: "rollup_5m", schema.BUCKETS_1H: "rollup_1h"}
# The last hours, which the roller drops when they are closed.
_OPEN = (schema.ARRIVALS, schema.WINDOWS)
_TABLES = {table.name: table for table in schema.TABLES if table.expires}
_CLASS = "tupleElement(CAST(partition AS Tuple(String, String)), 1)"
_PARTITIONS = f"""
SELECT table, partition_id, if(table = '{schema.ARRIVALS}', '{schema.DEFAULT_CLASS}', {_CLASS}),
    toInt64(toUnixTimestamp(min(min_time))), toInt64(toUnixTimestamp(max(max_time))),
    sum(bytes_on_disk)
FROM system.parts
WHERE active AND rows > 0 AND database = currentDatabase() AND table IN {{tables:Array(String)}}
GROUP BY table, partition_id, partition ORDER BY 4, table, partition_id"""


@dataclass(frozen=True, slots=True)
class Partition:
    """`oldest` and `newest`: of the times of its rows, Unix seconds; a row of buckets or of packed
    samples ends an hour after its time, which `newest` includes."""

    table: str
    id: str
    retention_class: str
    oldest: int
    newest: int
    bytes: int

    @property
    def name(self) -> str:
        """Under which `Retention.named` has it."""
        if self.table in _ROLLUPS:
            return _ROLLUPS[self.table]
        return "raw" if self.retention_class == schema.DEFAULT_CLASS else self.retention_class


def partitions(client: Client) -> list[Partition]:
    """Of every table that has a retention, the oldest first."""
    with contract_errors():
        rows = client.query(_PARTITIONS, parameters={"tables": list(_TABLES)}).result_rows
    return [
        Partition(table, part, name, oldest, newest + _TABLES[table].covers, size)
        for table, part, name, oldest, newest, size in rows
    ]


def expired(every: Iterable[Partition], retention: Retention, now: datetime) -> list[Partition]:
    """Those of which all has been kept for as long as `retention` says."""
    at, kept = now.timestamp(), retention.named
    return [
        one
        for one in every
        if one.table not in _OPEN and one.newest + kept.get(one.name, retention.raw) <= at
    ]


def drop(client: Client, gone: Sequence[Partition]) -> None:
    """
    Raises:
        Unavailable: some may be left; the engine drops them within hours.
    """
    with contract_errors():
        try:
            for one in gone:
                client.command(f"ALTER TABLE {one.table} DROP PARTITION ID '{one.id}'")
        finally:
            revise(client)
