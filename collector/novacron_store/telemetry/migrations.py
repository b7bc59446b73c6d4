"""Bring the telemetry database to this release's schema.

Every statement of a migration may run twice, and a migration is recorded when all of it ran: one
that was interrupted is simply run again. Views are code: they are replaced when they changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
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


# The layouts before the fourth: a row for each sample, and later arrivals in a table of their own.
_SAMPLES = """
CREATE TABLE IF NOT EXISTS data_samples (
    metric LowCardinality(String), entity LowCardinality(String), series UInt64,
    ts DateTime64(3, 'UTC'), start_ts DateTime64(3, 'UTC'), value Float64
)
ENGINE = ReplacingMergeTree ORDER BY (metric, toStartOfHour(ts), entity, series, ts)
"""
_RECENT = """
CREATE TABLE IF NOT EXISTS data_recent_samples (
    entity LowCardinality(String), ts DateTime64(3, 'UTC'), metrics Array(LowCardinality(String)),
    ids Array(UInt64), starts Array(DateTime64(3, 'UTC')), numbers Array(Float64)
)
ENGINE = MergeTree ORDER BY (toStartOfFiveMinutes(ts), entity, ts)
"""
_BORDER_64 = f"toDateTime64({BORDER}, 3, 'UTC')"
_OLD_TO_WINDOWS = f"""
INSERT INTO {schema.WINDOWS} (metric, entity, series, t, version, times, starts, values)
SELECT metric, entity, series, t, 1, points.1, points.2, points.3
FROM (
    SELECT metric, entity, series, toStartOfFiveMinutes(ts) AS t,
        arraySort(groupArray((toUnixTimestamp64Milli(ts), toUnixTimestamp64Milli(start_ts), value)))
            AS points
    FROM data_samples FINAL WHERE ts < {_BORDER_64} GROUP BY metric, toStartOfHour(ts), entity,
        series, t
)
SETTINGS optimize_aggregation_in_order = 1
"""
_ARRIVAL_COLUMNS = "entity, ts, metrics, ids, starts, numbers"
_OLD_TO_ARRIVALS = f"""
INSERT INTO {schema.ARRIVALS} ({_ARRIVAL_COLUMNS})
SELECT entity, ts, groupArray(metric), groupArray(series), groupArray(start_ts), groupArray(value)
FROM data_samples WHERE ts >= {_BORDER_64} GROUP BY entity, ts
"""
_RECENT_TO_ARRIVALS = f"""
INSERT INTO {schema.ARRIVALS} ({_ARRIVAL_COLUMNS})
SELECT {_ARRIVAL_COLUMNS} FROM data_recent_samples WHERE ts >= {_BORDER_64}
"""
_RETENTION_AGAIN = f"INSERT INTO {schema.SETTINGS} (name, value) VALUES ('retention', '')"


def _to_windows() -> list[str]:
    """A new table gets its retention; an old one is dropped when all of it is in the new ones."""
    return [
        *schema.ddl(),
        f"ALTER TABLE {schema.DIRTY} ADD COLUMN IF NOT EXISTS entities Array(String)",
        *(_SAMPLES, _RECENT, _OLD_TO_WINDOWS, _OLD_TO_ARRIVALS, _RECENT_TO_ARRIVALS),
        *(f"DROP TABLE data_{name} SYNC" for name in ("samples", "recent_samples")),
        _RETENTION_AGAIN,
    ]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "first layout", schema.ddl),
    # 2 and 3 made, and then changed, a table that 4 drops.
    Migration(4, "samples in windows of five minutes", _to_windows),
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
        for migration in MIGRATIONS if applied else MIGRATIONS[:1]:
            if migration.number not in applied:
                _run(client, migration)
        if not applied:  # the layout of this release
            _record(client, MIGRATIONS[1:])
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
    _record(client, [migration])


def _record(client: Client, migrations: Sequence[Migration]) -> None:
    rows = [[migration.number, migration.name] for migration in migrations]
    client.insert(schema.MIGRATIONS, rows, column_names=["number", "name"])


def _replace_views(client: Client) -> None:
    statements = views.statements()
    digest = hashlib.sha256("\n".join(statements).encode()).hexdigest()
    recorded = client.query(f"SELECT value FROM {schema.SETTINGS} FINAL WHERE name = 'views'")
    if recorded.result_rows == [(digest,)]:
        return
    for statement in statements:
        client.command(statement)
    client.insert(schema.SETTINGS, [["views", digest]], column_names=["name", "value"])
