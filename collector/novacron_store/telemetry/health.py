"""How the store itself is: its tables' parts, merges, disk, and how far behind roll-ups are."""

from __future__ import annotations

from dataclasses import dataclass

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import schema
from novacron_store.telemetry.client import contract_errors

_PHYSICAL = "data_"  # what physical tables' names begin with; people know the rest
_TABLES = """
SELECT table, count(), sum(rows), sum(bytes_on_disk)
FROM system.parts WHERE active AND database = currentDatabase()
GROUP BY table ORDER BY table"""
_REST = f"""
SELECT
    (SELECT count() FROM system.merges WHERE database = currentDatabase()),
    (SELECT free_space FROM system.disks WHERE name = 'default'),
    maxIf(upto, resolution = 300) AS rolled,
    toUnixTimestamp(now()) - toUnixTimestamp(rolled)
FROM {schema.ROLLED}"""


@dataclass(frozen=True, slots=True)
class TableHealth:
    """`rows` before equal ones collapse."""

    name: str
    parts: int
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Health:
    """`rollup_lag_s`: since the end of the newest bucket of 5 minutes; None: there is none yet."""

    tables: tuple[TableHealth, ...]
    merges: int
    disk_free: int
    rollup_lag_s: float | None


def health(client: Client) -> Health:
    """
    Raises:
        Unavailable: the store does not answer.
    """
    with contract_errors():
        tables = client.query(_TABLES).result_rows
        merges, free, rolled, lag_s = client.query(_REST).result_rows[0]
    return Health(
        tuple(TableHealth(name.removeprefix(_PHYSICAL), *counts) for name, *counts in tables),
        merges,
        free,
        float(lag_s) if rolled.timestamp() > 0 else None,
    )
