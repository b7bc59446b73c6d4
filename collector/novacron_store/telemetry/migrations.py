"""Bring the telemetry database to this release's schema.

Every statement of a migration may run twice, and a migration is recorded when all of it ran: one
that was interrupted is simply run again. Views are code: they are replaced when they changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client

from novacron_contract.errors import ConfigError
from novacron_store.telemetry import retention as retention_rules
from novacron_store.telemetry import schema, views
from novacron_store.telemetry.blocks import OF_CLASS
from novacron_store.telemetry.client import DATABASE, contract_errors
from novacron_store.telemetry.progress import revise
from novacron_store.telemetry.retention import Retention
from novacron_store.telemetry.samples import UNKNOWN


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    statements: Callable[[Client], Iterable[str]]


# The layouts before the fourth: a row for each sample, later arrivals in a table of their own, and
# a row for each bucket.
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
_ROLLUP = f"""
CREATE TABLE IF NOT EXISTS data_rollup_%s (
    metric LowCardinality(String), entity LowCardinality(String), series UInt64, t DateTime('UTC'),
    version UInt64, count UInt32, min Float64, max Float64, sum Float64, first Float64,
    last Float64, increase Float64, sketch AggregateFunction({schema.SKETCH}, Float64),
    retention Enum8('default' = 0)
)
ENGINE = ReplacingMergeTree(version) ORDER BY (metric, entity, series, t)
"""
_BORDER_64 = f"toDateTime64({UNKNOWN.gathered_sql}, 3, 'UTC')"
_HOURS = f"""
SELECT DISTINCT toUnixTimestamp(toStartOfHour(ts)) AS hour FROM data_samples
WHERE ts < {_BORDER_64} ORDER BY hour
"""
_OLD_TO_WINDOWS = f"""
INSERT INTO {schema.WINDOWS} (metric, entity, series, t, version, times, starts, values)
SELECT metric, entity, series, t, 1, points.1, points.2, points.3
FROM (
    SELECT metric, entity, series, toStartOfFiveMinutes(ts) AS t,
        arraySort(groupArray((toUnixTimestamp64Milli(ts), toUnixTimestamp64Milli(start_ts), value)))
            AS points
    FROM data_samples FINAL
    WHERE ts < {_BORDER_64} AND ts >= toDateTime64(%d, 3, 'UTC') AND ts < toDateTime64(%d, 3, 'UTC')
    GROUP BY metric, entity, series, t
)
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
_HOURS_TO_BUCKETS = f"""
INSERT INTO {schema.BUCKETS_1H} (metric, class, entity, series, t, version, count, min, max, sum,
    first, last, grown, carried, sketch)
SELECT metric, class, entity, series, t, 0, count, min, max, sum, first, last, increase, 0, sketch
FROM (SELECT * FROM data_rollup_1h FINAL) AS b {OF_CLASS}
"""
_WINDOWS_TO_BUCKETS = f"""
INSERT INTO {schema.BUCKETS_5M} (metric, class, entity, series, hour, version, slots, counts, scale,
    base, lasts, firsts, mins, maxs, sums, grown, floats, carried)
SELECT metric, class, entity, series, toStartOfHour(t) AS hour, 0,
    arrayMap(x -> toUInt8(toMinute(x.1) / 5), p), p.2, -1, 0, [], [], [], [], [], [],
    [p.3, p.4, p.5, p.6, p.7, p.8], 0
FROM (
    SELECT metric, entity, series, any(t) AS t,
        arraySort(groupArray((r.t, count, last, first, min, max, sum, increase))) AS p
    FROM data_rollup_5m AS r FINAL GROUP BY metric, entity, series, toStartOfHour(r.t)
) AS b {OF_CLASS}
SETTINGS throw_on_max_partitions_per_insert_block = 0
"""
# Hours that have samples are to be closed again; of those before there are buckets alone.
_NOTHING_CLOSED = (
    f"ALTER TABLE {schema.ROLLED} DELETE WHERE resolution IN (1, 3600) SETTINGS mutations_sync = 2"
)
_CLOSED_BEFORE = f"""
INSERT INTO {schema.ROLLED} SELECT {schema.HOUR_S}, if(
    (SELECT count() FROM {schema.WINDOWS}) > 0,
    (SELECT toStartOfHour(min(t)) FROM {schema.WINDOWS}),
    (SELECT max(t) + {schema.HOUR_S} FROM {schema.BUCKETS_1H}))
"""
_RETENTION_AGAIN = f"INSERT INTO {schema.SETTINGS} (name, value) VALUES ('retention', '')"
_OLD_TABLES = ("data_samples", "data_recent_samples", "data_rollup_5m", "data_rollup_1h")


def _to_blocks(client: Client) -> Iterator[str]:
    """A new table gets its retention; an old one is dropped when all of it is in the new ones."""
    yield from schema.ddl()
    yield f"ALTER TABLE {schema.DIRTY} ADD COLUMN IF NOT EXISTS entities Array(String)"
    yield from (_SAMPLES, _RECENT, _ROLLUP % "5m", _ROLLUP % "1h")
    for (hour,) in client.query(_HOURS).result_rows:
        yield _OLD_TO_WINDOWS % (hour, hour + schema.HOUR_S)
    yield from (_OLD_TO_ARRIVALS, _RECENT_TO_ARRIVALS, _HOURS_TO_BUCKETS, _WINDOWS_TO_BUCKETS)
    yield from (_NOTHING_CLOSED, _CLOSED_BEFORE)
    yield from (f"DROP TABLE {name} SYNC" for name in _OLD_TABLES)
    yield _RETENTION_AGAIN


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "first layout", lambda _: schema.ddl()),
    # 2 and 3 made, and then changed, a table that 4 drops.
    Migration(4, "closed hours in blocks", _to_blocks),
)


def migrate(client: Client, retention: Retention | None = None) -> None:
    """Create or upgrade the client's default database and apply `retention`, unless the same was
    applied before.

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
        missing = [one for one in MIGRATIONS if one.number not in applied]
        for migration in missing if applied else MIGRATIONS[:1]:
            _run(client, migration)
        if missing:
            revise(client)
        if not applied:  # the layout of this release
            _record(client, MIGRATIONS[1:])
        _replace_views(client)
    retention_rules.configure(client, retention or Retention())


def _applied(client: Client) -> set[int]:
    exists = client.command(f"EXISTS TABLE {schema.MIGRATIONS}")
    if not int(str(exists)):
        return set()
    rows = client.query(f"SELECT DISTINCT number FROM {schema.MIGRATIONS}").result_rows
    return {row[0] for row in rows}


def _run(client: Client, migration: Migration) -> None:
    for statement in migration.statements(client):
        client.command(statement)
    _record(client, [migration])


def _record(client: Client, migrations: Sequence[Migration]) -> None:
    rows = [[migration.number, migration.name] for migration in migrations]
    client.insert(schema.MIGRATIONS, rows, column_names=["number", "name"])


def _replace_views(client: Client) -> None:
    statements, digest = views.statements(), views.digest()
    recorded = client.query(f"SELECT value FROM {schema.SETTINGS} FINAL WHERE name = 'views'")
    if recorded.result_rows == [(digest,)]:
        return
    for statement in statements:
        client.command(statement)
    client.insert(schema.SETTINGS, [["views", digest]], column_names=["name", "value"])
