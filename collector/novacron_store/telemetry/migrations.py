"""Bring the telemetry database to this release's schema.

Every statement of a migration may run twice, and a migration is recorded when all of it ran: one
that was interrupted is simply run again. Views are code: they are replaced when they changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client

from novacron_contract.errors import ConfigError
from novacron_store.telemetry import retention as retention_rules
from novacron_store.telemetry import schema, views
from novacron_store.telemetry.client import DATABASE, contract_errors
from novacron_store.telemetry.retention import Retention
from novacron_store.telemetry.samples import BORDER


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    statements: Callable[[], list[str]]


# Readers look there for all that is not rolled up yet; a table that is new gets its retention.
_TO_RECENT = f"""
INSERT INTO {schema.RECENT} (entity, ts, metrics, ids, starts, numbers)
SELECT entity, ts, groupArray(metric), groupArray(series), groupArray(start_ts), groupArray(value)
FROM {schema.SAMPLES} WHERE ts >= {BORDER} GROUP BY entity, ts
"""
_RETENTION_AGAIN = f"INSERT INTO {schema.SETTINGS} (name, value) VALUES ('retention', '')"
_LZ4 = f"ALTER TABLE {schema.RECENT} " + ", ".join(
    f"MODIFY COLUMN {column.strip()}" for column in schema.ARRIVED.split(",\n")
)

MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "first layout", schema.ddl),
    Migration(2, "a table of arrivals", lambda: [*schema.ddl(), _TO_RECENT, _RETENTION_AGAIN]),
    Migration(3, "arrivals in LZ4", lambda: [_LZ4]),
)


def migrate(client: Client, retention: Retention | None = None) -> None:
    """Create or upgrade the client's default database and apply `retention`.

    Raises:
        ConfigError: a newer release has migrated this database.
        Unavailable: the store does not answer; run again, nothing is half done for good.
    """
    with contract_errors():
        database = quote_identifier(client.database or DATABASE)
        client.command(f"CREATE DATABASE IF NOT EXISTS {database}", use_database=False)
        applied = _applied(client)
        newest = MIGRATIONS[-1].number
        if max(applied, default=0) > newest:
            raise ConfigError(
                f"the telemetry database {client.database} has schema {max(applied)}, newer than "
                f"this release's {newest}: install the release that migrated it, or a later one"
            )
        for migration in MIGRATIONS:
            if migration.number not in applied:
                _run(client, migration)
        _replace_views(client)
    retention_rules.apply(client, retention or Retention())


def _applied(client: Client) -> set[int]:
    exists = client.command(f"EXISTS TABLE {schema.MIGRATIONS}")
    if not int(str(exists)):
        return set()
    rows = client.query(f"SELECT DISTINCT number FROM {schema.MIGRATIONS}").result_rows
    return {row[0] for row in rows}


def _run(client: Client, migration: Migration) -> None:
    for statement in migration.statements():
        client.command(statement)
    client.insert(
        schema.MIGRATIONS,
        [[migration.number, migration.name]],
        column_names=["number", "name"],
    )


def _replace_views(client: Client) -> None:
    statements = views.statements()
    digest = hashlib.sha256("\n".join(statements).encode()).hexdigest()
    recorded = client.query(f"SELECT value FROM {schema.SETTINGS} FINAL WHERE name = 'views'")
    if recorded.result_rows == [(digest,)]:
        return
    for statement in statements:
        client.command(statement)
    client.insert(schema.SETTINGS, [["views", digest]], column_names=["name", "value"])
