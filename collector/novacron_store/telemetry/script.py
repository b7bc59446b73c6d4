"""All statements that make a database of this release, for whoever reviews them or runs them by
hand. What they leave behind is what `migrations.migrate` does in an empty database, records
included, so that it finds nothing to do afterwards.

A record is written into an empty table alone: run over a database that an older release made, the
statements claim nothing, and migrating does what is left to do.
"""

from __future__ import annotations

from collections.abc import Iterable

from clickhouse_connect.driver.binding import format_str, quote_identifier

from novacron_store.telemetry import retention as retention_rules
from novacron_store.telemetry import schema, views
from novacron_store.telemetry.migrations import MIGRATIONS
from novacron_store.telemetry.place import Place
from novacron_store.telemetry.retention import Retention


def statements(place: Place, retention: Retention) -> list[str]:
    """In the order in which they are to be run; each names its database."""
    tables = [retention_rules.applied_to(table, retention) for table in schema.TABLES]
    migrations = [(str(migration.number), migration.name) for migration in MIGRATIONS]
    settings = {**retention_rules.records(retention), "views": views.digest()}
    return [
        f"CREATE DATABASE IF NOT EXISTS {quote_identifier(place.database)}{place.on_cluster}",
        *schema.ddl(place, tables),
        *views.statements(place),
        _recorded(place, schema.SETTINGS, "name, value", settings.items()),
        # The last one: without it there is no such schema yet.
        _recorded(place, schema.MIGRATIONS, "number, name", migrations),
    ]


def _recorded(place: Place, table: str, columns: str, rows: Iterable[tuple[str, str]]) -> str:
    name, of = place.named(table), columns.split(", ")
    # A distributed table would take the rows now, and store them some time later.
    waiting = " SETTINGS distributed_foreground_insert = 1" if place.cluster else ""
    values = ",\n    ".join(f"({', '.join(map(format_str, row))})" for row in rows)
    structure = ", ".join(f"{column} String" for column in of)
    return (
        f"INSERT INTO {name} ({columns}){waiting}\n"
        f"SELECT {columns} FROM values('{structure}',\n    {values}\n)\n"
        f"WHERE (SELECT count() FROM {name}) = 0"
    )
