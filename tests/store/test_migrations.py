"""The database comes up, comes up again, and keeps things as long as it was told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.client import Client

from novacron_contract.errors import ConfigError
from novacron_store.telemetry import retention, schema, views
from novacron_store.telemetry.migrations import MIGRATIONS, migrate
from novacron_store.telemetry.recent import arrivals
from novacron_store.telemetry.retention import Retention
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch


def _tables(client: Client) -> set[str]:
    rows = client.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    return {row[0] for row in rows.result_rows}


def _made_by(client: Client, table: str) -> str:
    return str(client.command(f"SHOW CREATE TABLE {table}"))


NEWEST = {1: "data_samples", 3: "data_recent_samples"}


def older_layout(number: int) -> list[str]:
    """Its statements, as far as they matter to samples."""
    others = [
        text
        for text, table in zip(schema.ddl(), schema.TABLES, strict=True)
        if table.name in (schema.SERIES, schema.ENTITIES, schema.METRICS, schema.MIGRATIONS)
        or table.name in (schema.ROLLED, schema.DIRTY, schema.SETTINGS)
    ]
    rollups = [
        f"""CREATE TABLE data_rollup_{width} (
        metric LowCardinality(String), entity LowCardinality(String), series UInt64,
        t DateTime('UTC'), version UInt64, count UInt32, min Float64, max Float64, sum Float64,
        first Float64, last Float64, last_ts DateTime64(3, 'UTC'), increase Float64,
        sketch AggregateFunction({schema.SKETCH}, Float64),
        retention Enum8('default' = 0) DEFAULT 'default'
    )
    ENGINE = ReplacingMergeTree(version) PARTITION BY (retention, toDate(t))
    ORDER BY (metric, entity, series, t)"""
        for width in ("5m", "1h")
    ]
    samples = """CREATE TABLE data_samples (
        metric LowCardinality(String), entity LowCardinality(String), series UInt64 CODEC(ZSTD(1)),
        ts DateTime64(3, 'UTC') CODEC(Delta(8), T64, ZSTD(1)),
        start_ts DateTime64(3, 'UTC') CODEC(Delta(8), T64, ZSTD(1)),
        value Float64 CODEC(Delta(8), ZSTD(1)), retention Enum8('default' = 0) DEFAULT 'default'
    )
    ENGINE = ReplacingMergeTree PARTITION BY (retention, toDate(ts))
    ORDER BY (metric, toStartOfHour(ts), entity, series, ts)"""
    recent = """CREATE TABLE data_recent_samples (
        entity LowCardinality(String), ts DateTime64(3, 'UTC') CODEC(Delta(8), T64, ZSTD(1)),
        metrics Array(LowCardinality(String)) CODEC(LZ4), ids Array(UInt64) CODEC(LZ4),
        starts Array(DateTime64(3, 'UTC')) CODEC(LZ4), numbers Array(Float64) CODEC(LZ4),
        retention Enum8('default' = 0) DEFAULT 'default'
    )
    ENGINE = MergeTree PARTITION BY (toStartOfHour(ts))
    ORDER BY (toStartOfFiveMinutes(ts), entity, ts)"""
    return [*others, *rollups, samples, recent][: None if number > 1 else -1]


def test_migrating_twice_changes_nothing(store: Client) -> None:
    write(store, batch([Line("heat", "svc", [(time.time(), 1.0)])]), "one")
    before = _tables(store)

    migrate(store)

    assert _tables(store) == before
    assert store.command("SELECT count() FROM data_migrations") == len(MIGRATIONS)
    assert store.command("SELECT count() FROM samples") == 1


def test_a_migration_cut_short_is_completed(empty: Client) -> None:
    empty.command(f"CREATE DATABASE {empty.database}", use_database=False)
    for statement in schema.ddl()[:5]:
        empty.command(statement)

    migrate(empty)

    assert {table.name for table in schema.TABLES} <= _tables(empty)
    assert {view.name for view in views.VIEWS} <= _tables(empty)


def test_a_database_of_a_newer_release_is_left_alone(store: Client) -> None:
    store.insert(schema.MIGRATIONS, [[99, "from the future"]], ["number", "name"])

    newest = MIGRATIONS[-1].number
    with pytest.raises(ConfigError, match=f"has schema 99, newer than this release's {newest}"):
        migrate(store)


@pytest.mark.parametrize("layout", [1, 3])
def test_what_an_older_layout_has_stays(empty: Client, layout: int) -> None:
    """Rolled up or not: in the first layout all samples were in one table, later in two."""
    empty.command(f"CREATE DATABASE {empty.database}", use_database=False)
    for statement in older_layout(layout):
        empty.command(statement)
    empty.insert(schema.MIGRATIONS, [[n, ""] for n in range(1, layout + 1)], ["number", "name"])
    kept = json.dumps(asdict(Retention()), sort_keys=True)
    empty.insert(schema.SETTINGS, [["retention", kept]], ["name", "value"])
    now = time.time()
    border = int(now - 600) // 300 * 300
    rolled = [(border - 600 + 100 * n, float(n)) for n in range(6)]
    newer = [(border + 100 * n, float(n)) for n in range(6, 12)]
    for samples, table in ((rolled, "data_samples"), (newer, NEWEST[layout])):
        lines = batch([Line("heat", "svc", samples), Line("cold", "svc", samples)])
        rows = lines.tables["samples"] if table == "data_samples" else arrivals(lines)
        empty.insert_arrow(table, rows)
    empty.insert(schema.ROLLED, [[300, datetime.fromtimestamp(border, UTC)]])

    migrate(empty)

    heat = "SELECT count(), sum(value) FROM samples WHERE metric = 'heat'"
    assert empty.query(heat).result_rows == [(12, sum(range(12)))]
    assert not {"data_samples", "data_recent_samples"} & _tables(empty)
    assert "toIntervalSecond" in _made_by(empty, schema.ARRIVALS)
    Roller(empty).run(datetime.fromtimestamp(now + 3600, UTC))
    assert empty.query(heat).result_rows == [(12, sum(range(12)))]


def test_buckets_of_an_older_layout_stay(empty: Client) -> None:
    empty.command(f"CREATE DATABASE {empty.database}", use_database=False)
    for statement in older_layout(3):
        empty.command(statement)
    empty.insert(schema.MIGRATIONS, [[n, ""] for n in (1, 2, 3)], ["number", "name"])
    old = "toStartOfHour(now('UTC') - INTERVAL 30 DAY)"
    for width, seconds in (("5m", 300), ("1h", 3600)):
        empty.command(
            f"INSERT INTO data_rollup_{width} SELECT 'heat', 'svc', 1, {old} + {seconds} * number, "
            "1, 20, 1, 3, 2.5, 1.5, 2, now(), 7, "
            "arrayReduce('quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)', [2.]), 'default' "
            "FROM numbers(14)"
        )

    migrate(empty)

    columns = "count(), sum(count), min(min), max(max), sum(sum), any(first), any(last)"
    wanted = (14, 280, 1, 3, 35, 1.5, 2, 98)
    for view in ("metrics_5m", "metrics_1h"):
        found = empty.query(f"SELECT {columns}, sum(increase) FROM {view} WHERE metric = 'heat'")
        assert found.result_rows == [wanted]
        first, last = f"{old} = min(t)", "dateDiff('second', min(t), max(t))"
        span = 13 * (300 if view == "metrics_5m" else 3600)
        assert empty.query(f"SELECT {first}, {last} FROM {view}").result_rows == [(True, span)]
    assert empty.command("SELECT round(any(p50), 1) FROM metrics_1h") == 2


def test_moving_to_blocks_may_be_cut_short(empty: Client) -> None:
    empty.command(f"CREATE DATABASE {empty.database}", use_database=False)
    for statement in older_layout(3):
        empty.command(statement)
    empty.insert(schema.MIGRATIONS, [[n, ""] for n in (1, 2, 3)], ["number", "name"])
    lines = batch([Line("heat", "svc", [(time.time() - n, 1.0) for n in range(10)])])
    empty.insert_arrow("data_recent_samples", arrivals(lines))
    (move,) = [migration for migration in MIGRATIONS if migration.number == 4]
    for statement in move.statements(empty):
        if "DROP TABLE data_rollup_5m" in statement:
            break
        empty.command(statement)

    migrate(empty)

    assert empty.command("SELECT count() FROM samples") == 10


def test_views_that_changed_are_replaced(store: Client) -> None:
    store.command("CREATE OR REPLACE VIEW samples AS SELECT 1 AS one")
    store.insert(schema.SETTINGS, [["views", "of another release"]], ["name", "value"])

    migrate(store)

    assert "value" in store.query("SELECT * FROM samples LIMIT 0").column_names


def test_every_view_and_column_says_what_it_is(store: Client) -> None:
    for view in views.VIEWS:
        store.query(f"SELECT * FROM {view.name} LIMIT 1")
    names = [view.name for view in views.VIEWS]
    silent = store.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() "
        "AND name IN {names:Array(String)} AND comment = '' UNION ALL "
        "SELECT table || '.' || name FROM system.columns WHERE database = currentDatabase() "
        "AND table IN {names:Array(String)} AND comment = ''",
        parameters={"names": names},
    ).result_rows
    assert silent == []


def test_retention_is_what_was_set_last(store: Client) -> None:
    assert retention.current(store) == Retention()
    wanted = Retention(raw=3600, classes={"it's short": 60})

    retention.apply(store, wanted)

    assert retention.current(store) == wanted
    assert "transform(retention" in str(store.command(f"SHOW CREATE TABLE {schema.BLOCKS}"))


def _eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def test_expired_samples_go_and_their_buckets_stay(store: Client) -> None:
    store.command(f"ALTER TABLE {schema.BLOCKS} MODIFY SETTING merge_with_ttl_timeout = 0")
    now = time.time()
    old = now // 3600 * 3600 - 7200
    lines = [Line("heat", "svc", [(old + n, float(n)) for n in range(100)])]
    write(store, batch(lines), "old", at(now))
    write(store, batch([Line("heat", "svc", [(now, 7.0)])]), "new", at(now))
    Roller(store).run(at(now))
    assert store.command("SELECT count() FROM samples") == 101

    retention.apply(store, Retention(raw=600))

    assert _eventually(lambda: store.command("SELECT count() FROM samples") == 1)
    assert store.query("SELECT sum(count), sum(sum) FROM metrics_5m").result_rows == [(100, 4950)]


def test_a_class_of_samples_has_a_retention_of_its_own(store: Client) -> None:
    store.command(f"ALTER TABLE {schema.BLOCKS} MODIFY SETTING merge_with_ttl_timeout = 0")
    retention.apply(store, Retention(classes={"brief": 600}))
    now = time.time()
    write(store, batch([Line("heat", "svc", [(now - 9000, 1.0)])]), "one", at(now))
    Roller(store).run(at(now))

    store.command(
        f"INSERT INTO {schema.BLOCKS} SELECT * REPLACE('brief' AS retention) FROM {schema.BLOCKS}"
    )

    left = f"SELECT groupArray(retention) FROM {schema.BLOCKS}"
    assert _eventually(lambda: str(store.command(left)) == "['default']"), store.command(left)


def test_samples_stay_in_their_class_whatever_classes_come_and_go(store: Client) -> None:
    for classes in ({"short": 9e9, "it's": 9e9}, {"long": 9e9}, {"a\\": 9e9, "it's": 9e9}):
        retention.apply(store, Retention(classes=classes))
    now = time.time()
    write(store, batch([Line("heat", "svc", [(now - 9000, 1.0)])]), "one", at(now))
    Roller(store).run(at(now))
    store.command(
        f"INSERT INTO {schema.BLOCKS} SELECT * REPLACE(name AS retention) FROM {schema.BLOCKS} "
        r"ARRAY JOIN ['short', 'it\'s', 'long', 'a\\'] AS name"
    )

    retention.apply(store, Retention(classes={"another": 9e9, "short": 9e9}))

    found = store.query(f"SELECT toString(retention) AS class FROM {schema.BLOCKS} ORDER BY class")
    assert [row[0] for row in found.result_rows] == ["a\\", "default", "it's", "long", "short"]
