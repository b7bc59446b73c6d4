"""How long telemetry is kept, changed while it is stored."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import product

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from novacron_contract.errors import ConfigError
from novacron_store.telemetry import expiry, retention, schema
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.retention import Retention
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch, counter

DAY, HOUR = 86400, 3600
NOW = int(time.time()) // DAY * DAY + 5 * HOUR
CLASSES = ("default", "short", "long")
DAYS = (0, 1, 3, 9, 40)


AGED = (
    (schema.BLOCKS, "hour"),
    (schema.TIMES, "hour"),
    (schema.BUCKETS_5M, "hour"),
    (schema.BUCKETS_1H, "t"),
    (schema.HISTOGRAMS, "ts"),
)


@pytest.fixture
def aged(store: Client) -> Client:
    """A row of each class and of some days, at three o'clock, in each table."""
    retention.apply(store, Retention(9e8, 9e8, 9e8, dict.fromkeys(CLASSES[1:], 9e8)))
    for (table, column), name, days in product(AGED, CLASSES, DAYS):
        store.command(
            f"INSERT INTO {table} (entity, {column}, retention) VALUES "
            f"('vm-1', {three_o_clock(days)}, '{name}')"
        )
    return store


def three_o_clock(days: int) -> int:
    return NOW // DAY * DAY - days * DAY + 3 * HOUR


def left(store: Client, table: str, column: str) -> set[tuple[str, int]]:
    """Class and age in days of what is there."""
    rows = store.query(
        f"SELECT toString(retention), toUnixTimestamp({column}) FROM {table}"
    ).result_rows
    return {(name, (NOW - hour) // DAY) for name, hour in rows}


def expected(table: str, kept: Retention) -> set[tuple[str, str, int]]:
    """Table, class and age of the oldest row of partitions that have expired as a whole."""
    seconds = {schema.BUCKETS_5M: kept.rollup_5m, schema.BUCKETS_1H: kept.rollup_1h}
    covers = 0 if table == schema.HISTOGRAMS else HOUR
    days_of: dict[tuple[str, str], list[int]] = {}
    for name, days in product(CLASSES, DAYS):
        day = at(three_o_clock(days))
        partition = f"{day:%Y-%m}" if table == schema.BUCKETS_1H else f"{day:%Y-%m-%d}"
        days_of.setdefault((name, partition), []).append(days)
    return {
        (table, name, max(days))
        for (name, _), days in days_of.items()
        if three_o_clock(min(days)) + covers + seconds.get(table, kept.by_class[name]) <= NOW
    }


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(kept=st.lists(st.integers(1, 50 * 24), min_size=5, max_size=5))
@example(kept=[24, 25, 26, 25, 1])
@example(kept=[1200, 1200, 1200, 1200, 1200])
def test_exactly_those_partitions_expire_of_which_all_is_too_old(
    aged: Client, kept: list[int]
) -> None:
    raw, short, long, fine, coarse = (hours * HOUR for hours in kept)
    rules = Retention(raw, fine, coarse, {"short": short, "long": long})

    gone = expiry.expired(expiry.partitions(aged), rules, at(NOW))

    found = {(one.table, one.retention_class, (NOW - one.oldest) // DAY) for one in gone}
    assert found == set().union(*(expected(table, rules) for table, _ in AGED))


def test_what_expired_is_gone_at_once(aged: Client) -> None:
    rules = Retention(2 * DAY, 10 * DAY, 9e8, {"short": HOUR, "long": 20 * DAY})

    retention.apply(aged, rules)
    expiry.drop(aged, expiry.expired(expiry.partitions(aged), rules, at(NOW)))

    kept = {
        *(("default", age) for age in (0, 1)),
        *(("long", age) for age in (0, 1, 3, 9)),
    }
    assert left(aged, schema.BLOCKS, "hour") == kept
    assert left(aged, schema.TIMES, "hour") == kept
    fine = set(product(CLASSES, (0, 1, 3, 9)))
    assert left(aged, schema.BUCKETS_5M, "hour") == fine
    assert left(aged, schema.BUCKETS_1H, "t") == set(product(CLASSES, DAYS))
    assert expiry.expired(expiry.partitions(aged), rules, at(NOW)) == []


def test_the_engine_comes_to_the_same(aged: Client) -> None:
    """A TTL rule is no other rule: what `expired` leaves, the engine's own merges leave."""
    rules = Retention(2 * DAY, 10 * DAY, 9e8, {"short": HOUR, "long": 20 * DAY})
    retention.apply(aged, rules)
    now = datetime.now(UTC)
    for table, _ in AGED:
        aged.command(f"ALTER TABLE {table} MODIFY SETTING merge_with_ttl_timeout = 0")
    deadline = time.monotonic() + 30
    while expiry.expired(expiry.partitions(aged), rules, now) and time.monotonic() < deadline:
        time.sleep(0.2)

    assert expiry.expired(expiry.partitions(aged), rules, now) == []
    assert left(aged, schema.BUCKETS_5M, "hour") == set(product(CLASSES, (0, 1, 3, 9)))
    assert ("long", 9) in left(aged, schema.BLOCKS, "hour")


def test_metrics_go_into_the_class_they_are_assigned_to(store: Client) -> None:
    now = time.time()
    old = now // HOUR * HOUR - 2 * HOUR
    rules = (
        retention.current(store)
        .keeping("bills", 400 * DAY)
        .assigning("vm.*", "long")
        .assigning("vm.network.*", "bills")
        .assigning("vm.network.dropped", "default")
    )
    retention.apply(store, rules)
    names = ("vm.cpu.time", "vm.network.io", "vm.network.dropped", "host.cpu.time", "xvm.cpu.time")
    lines = [counter(name, "vm-1", [(old + n, float(n)) for n in range(100)]) for name in names]
    write(store, batch(lines), "one", at(now))
    Roller(store, settle_s=0).run(at(now))
    write(store, batch([counter("vm.network.io", "vm-1", [(old + 99.5, 99.5)])]), "two", at(now))
    Roller(store, settle_s=0).run(at(now + 100))

    query = "SELECT metric, toString(retention), sum(length(steps)) FROM data_blocks FINAL"
    found = store.query(f"{query} GROUP BY ALL ORDER BY metric").result_rows
    assert found == [
        ("host.cpu.time", "default", 100),
        ("vm.cpu.time", "long", 100),
        ("vm.network.dropped", "default", 100),
        ("vm.network.io", "bills", 101),
        ("xvm.cpu.time", "default", 100),
    ]
    assert rules.longest == 400 * DAY
    assert [rules.kept(name) / DAY for name in names] == [30, 400, 7, 7, 7]


def test_an_hour_stays_in_its_class_when_rules_change_and_data_comes_late(store: Client) -> None:
    now = time.time()
    old = now // HOUR * HOUR - 2 * HOUR
    rules = retention.current(store)
    retention.apply(store, rules)

    def send(*times: float) -> None:
        line = counter("vm.network.io", "vm-1", [(old + t, t) for t in times])
        write(store, batch([line]), f"at {times}", at(now))

    def classes(table: str, of: str) -> list[str]:
        """Of all versions of its rows."""
        query = f"SELECT DISTINCT toString(retention) FROM {table} WHERE {of} = {old:.0f}"
        return [name for (name,) in store.query(query).result_rows]

    send(*range(100))
    Roller(store, settle_s=0).run(at(now))
    retention.apply(store, rules.assigning("vm.*", "long"))
    send(99.5)  # of a window that was there
    send(2000)  # of one that was not
    Roller(store, settle_s=0).run(at(now + 100))

    for table, of in (
        (schema.BLOCKS, "hour"), (schema.BUCKETS_1H, "t"), (schema.BUCKETS_5M, "hour")
    ):  # fmt: skip
        assert classes(table, of) == ["default"], table
    assert store.query("SELECT count() FROM samples").result_rows == [(102,)]


def test_histograms_go_into_the_class_of_their_metric(store: Client) -> None:
    rules = retention.current(store).assigning("app.*", "short")
    retention.apply(store, rules)
    for metric in ("app.latency", "db.latency"):
        store.command(
            f"INSERT INTO {schema.HISTOGRAMS} (metric, entity, ts) VALUES ('{metric}', 'e', now())"
        )
    query = f"SELECT metric, toString(retention) FROM {schema.HISTOGRAMS} ORDER BY metric"
    assert store.query(query).result_rows == [("app.latency", "short"), ("db.latency", "default")]


def test_what_was_changed_last_holds(store: Client) -> None:
    file = Retention(raw=3 * DAY)
    migrate(store, file)
    assert retention.current(store).raw == 3 * DAY
    changed = retention.current(store).keeping("raw", DAY).keeping("mine", DAY)

    retention.apply(store, changed)
    migrate(store, file)  # a restart with the same file
    assert retention.current(store) == changed

    migrate(store, Retention(raw=5 * DAY))
    now = retention.current(store)
    assert (now.raw, now.classes["mine"]) == (5 * DAY, DAY)


@pytest.mark.parametrize(
    ("name", "seconds", "said"),
    [
        ("raw", 60, "at least 1 h"),
        ("Long", DAY, "a class is a-z"),
        ("x'; DROP", DAY, "a class is a-z"),
        ("", DAY, "a class is a-z"),
    ],
)
def test_what_cannot_be_kept_is_refused(name: str, seconds: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Retention().keeping(name, seconds)


@pytest.mark.parametrize(
    ("metric", "name", "said"),
    [
        ("vm.*", "nowhere", "there are default, long, short"),
        ("vm'", "long", "expected a metric"),
        ("", "long", "expected a metric"),
        ("a" * 300, "long", "expected a metric"),
    ],
)
def test_what_cannot_be_assigned_is_refused(metric: str, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Retention().assigning(metric, name)


def test_rules_and_classes_have_a_limit() -> None:
    many = Retention(
        classes={f"c{number}": DAY for number in range(64)},
        rules=tuple((f"m{number}", "c1") for number in range(256)),
    )
    with pytest.raises(ConfigError, match="256 rules"):
        many.assigning("another", "c1")
    with pytest.raises(ConfigError, match="64 classes"):
        many.keeping("another", DAY)
    assert many.keeping("c1", HOUR).assigning("m1", "c2").classes["c1"] == HOUR


def test_the_last_assignment_replaces_the_one_before() -> None:
    rules = Retention().assigning("a.*", "long").assigning("a.*", "short")
    assert rules.rules == (("a.*", "short"),)
    assert rules.assigning("a.*", "default").rules == ()


def test_a_gauge_without_rules_stays_in_the_default_class(store: Client) -> None:
    now = time.time()
    write(store, batch([Line("heat", "svc", [(now - 9000, 1.0)])]), "one", at(now))
    Roller(store).run(at(now))
    assert store.command("SELECT any(toString(retention)) FROM data_blocks") == "default"
