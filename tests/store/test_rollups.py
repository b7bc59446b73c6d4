"""Buckets say exactly what the samples say: also of late samples and restarted counters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from operator import itemgetter
from statistics import median
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noon import NOON
from novacron_store.telemetry import schema
from novacron_store.telemetry.retention import Retention, apply
from novacron_store.telemetry.rollups import Rolled, Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch, counter

RX = {"network.io.direction": "receive"}


def put(store: Client, lines: Sequence[Line], token: str, now: float) -> None:
    write(store, batch(lines), token, at(now))


def roll(store: Client, now: float) -> Rolled:
    return Roller(store).run(at(now))


def increases(store: Client, table: str = "metrics_5m") -> dict[datetime, float]:
    rows = store.query(f"SELECT t, increase FROM {table} ORDER BY t").result_rows
    return {row[0]: row[1] for row in rows}


def total(store: Client, table: str = "metrics_5m") -> float:
    return float(str(store.command(f"SELECT sum(increase) FROM {table}")))


def grown(samples: Sequence[tuple[float, float]]) -> float:
    """The oracle: what a counter grew by, a smaller value being a restart from 0."""
    known = dict(samples)
    values = [known[second] for second in sorted(known) if not math.isnan(known[second])]
    steps = pairwise(values)
    return sum(now if now < before else now - before for before, now in steps)


def test_the_last_second_of_a_window_is_part_of_it(store: Client) -> None:
    """ClickHouse skips what is only there when a DateTime64 is compared with a DateTime."""
    put(store, [Line("heat", "svc", [(NOON + 299.4, 1.0), (NOON + 299.999, 2.0)])], "one", NOON)
    put(store, [Line("heat", "svc", [(NOON + 400, 4.0)])], "two", NOON)

    roll(store, NOON + 900)

    buckets = store.query("SELECT toUnixTimestamp(t), sum FROM metrics_5m ORDER BY t").result_rows
    assert buckets == [(NOON, 3), (NOON + 300, 4)]
    assert store.command("SELECT sum(value) FROM samples") == 7


def test_the_second_before_the_border_is_seen(store: Client) -> None:
    put(store, [Line("heat", "svc", [(NOON + 299.4, 1.0)])], "one", NOON)
    put(store, [Line("heat", "svc", [(NOON + 300.4, 2.0)])], "two", NOON)

    Roller(store, lateness_s=0).run(at(NOON + 300))

    assert store.command("SELECT sum(value) FROM samples") == 3


def test_a_window_is_rolled_up_once_its_stragglers_had_time(store: Client) -> None:
    put(store, [Line("vm.cpu.utilization", "vm-1", [(NOON, 0.5)])], "a", NOON + 10)

    assert roll(store, NOON + 300 + 119) == Rolled()
    assert roll(store, NOON + 300 + 120) == Rolled(windows=1)
    assert roll(store, NOON + 300 + 120) == Rolled()


def test_a_window_rolled_up_by_a_clock_that_was_ahead_gets_what_comes_then(store: Client) -> None:
    put(store, [counter("vm.network.io", "vm-1", [(NOON, 1.0)], **RX)], "a", NOON + 1)
    assert roll(store, NOON + 3600) == Rolled(windows=1)
    put(store, [counter("vm.network.io", "vm-1", [(NOON + 60, 5.0)], **RX)], "b", NOON + 61)

    assert roll(store, NOON + 500) == Rolled(again=1)
    assert total(store) == 4


def test_a_window_that_is_done_gets_what_a_writer_whose_clock_is_behind_brings(
    store: Client,
) -> None:
    put(store, [counter("vm.network.io", "vm-1", [(NOON, 1.0)], **RX)], "a", NOON + 1)
    assert roll(store, NOON + 500) == Rolled(windows=1)
    put(store, [counter("vm.network.io", "vm-1", [(NOON + 60, 5.0)], **RX)], "b", NOON - 3600)

    assert roll(store, NOON + 600) == Rolled(again=1)
    assert total(store) == 4


def test_a_bucket_of_a_gauge_has_the_statistics_of_its_samples(store: Client) -> None:
    samples = [(NOON + 10 * n, float(n)) for n in range(30)]
    put(store, [Line("vm.cpu.utilization", "vm-1", samples)], "a", NOON + 300)
    roll(store, NOON + 500)

    row = store.query(
        "SELECT count, min, avg, max, sum, first, last, increase FROM metrics_5m"
    ).result_rows[0]

    assert row == (30, 0, 14.5, 29, 435, 0, 29, 0)


def test_an_hour_has_the_statistics_of_its_samples(store: Client) -> None:
    samples = [(NOON + 10 * n, float(n % 97)) for n in range(360)]
    put(store, [Line("vm.cpu.utilization", "vm-1", samples)], "a", NOON + 3600)

    assert roll(store, NOON + 4000) == Rolled(windows=12, hours=1)
    row = store.query("SELECT count, min, max, sum, first, last, p50 FROM metrics_1h").result_rows
    values = [value for _, value in samples]
    assert row[0][:-1] == (360, 0, 96, sum(values), values[0], values[-1])
    assert row[0][-1] == pytest.approx(median(values), rel=0.02)


def test_buckets_add_up_across_borders_and_a_restart(store: Client) -> None:
    values = [100, 160, 230, 10, 15, 200, 300]  # restarted after 230
    samples = [(NOON + 120 * n, float(value)) for n, value in enumerate(values)]
    put(store, [counter("vm.network.io", "vm-1", samples, **RX)], "a", NOON + 900)
    roll(store, NOON + 1500)

    assert list(increases(store).values()) == [130, 15, 285]
    assert total(store) == grown(samples) == 430


def test_an_hour_counts_what_its_windows_count(store: Client) -> None:
    samples = [(NOON + 100 * n, float((n * 37) % 1000)) for n in range(72)]
    put(store, [counter("vm.network.io", "vm-1", samples, **RX)], "a", NOON + 7200)
    roll(store, NOON + 8000)

    assert total(store, "metrics_1h") == total(store) == grown(samples)


def test_the_first_sample_of_a_counter_is_no_growth(store: Client) -> None:
    put(store, [counter("vm.network.io", "vm-1", [(NOON, 1e9)], **RX)], "a", NOON)
    roll(store, NOON + 500)

    assert total(store) == 0


def test_a_counter_grows_across_hours_of_silence(store: Client) -> None:
    samples = [(NOON, 5.0), (NOON + 3 * 3600, 50.0), (NOON + 3 * 3600 + 10, 60.0)]
    other = counter("vm.network.io", "vm-2", [(NOON + 3600, 1.0), (NOON + 3 * 3600, 4.0)], **RX)
    put(store, [counter("vm.network.io", "vm-1", samples, **RX), other], "a", NOON + 3 * 3600)
    roll(store, NOON + 4 * 3600 + 600)

    assert total(store) == 55 + 3


def test_delta_sums_add_up_and_other_kinds_do_not_grow(store: Client) -> None:
    samples = [(NOON + 100 * n, 7.0 - n) for n in range(6)]
    put(
        store,
        [
            Line("requests", "svc", samples, "sum", "delta", True),
            Line("queue", "svc", samples, "sum", "cumulative", False),
            Line("heat", "svc", samples),
        ],
        "a",
        NOON + 600,
    )
    roll(store, NOON + 900)

    rows = store.query("SELECT metric, sum(increase) FROM metrics_5m GROUP BY metric").result_rows
    assert {row[0]: row[1] for row in rows} == {"requests": 27, "queue": 0, "heat": 0}


def test_the_end_of_a_series_is_no_value(store: Client) -> None:
    gauge = Line("heat", "svc", [(NOON, 4.0), (NOON + 10, math.nan)])
    samples = [(NOON, 4.0), (NOON + 10, math.nan), (NOON + 20, 6.0), (NOON + 300, math.nan)]
    put(store, [gauge, counter("vm.network.io", "vm-1", samples, **RX)], "a", NOON + 300)
    roll(store, NOON + 900)

    rows = store.query(
        "SELECT metric, t, count, sum, increase FROM metrics_5m ORDER BY metric"
    ).result_rows
    start = at(NOON).replace(tzinfo=None)
    assert rows == [("heat", start, 1, 4, 0), ("vm.network.io", start, 2, 10, 2)]


def test_late_samples_change_their_window_its_hour_and_the_step_that_follows(
    store: Client,
) -> None:
    early = [(NOON, 10.0), (NOON + 10, 20.0)]
    later = [(NOON + 900, 100.0), (NOON + 3600, 110.0)]
    put(store, [counter("vm.network.io", "vm-1", early + later, **RX)], "a", NOON + 3600)
    assert roll(store, NOON + 7800) == Rolled(windows=3, hours=2)

    late = [(NOON + 300, 5.0)]  # a restart nobody had seen
    put(store, [counter("vm.network.io", "vm-1", late, **RX)], "b", NOON + 8000)
    assert roll(store, NOON + 8001).again == 0  # other writers may still be at it
    assert roll(store, NOON + 8061).again == 2

    assert list(increases(store).values()) == [10, 5, 95, 10]
    assert list(increases(store, "metrics_1h").values()) == [110, 10]
    assert roll(store, NOON + 8100) == Rolled()


def test_a_batch_written_twice_counts_once(store: Client) -> None:
    samples = [(NOON + 10 * n, float(n)) for n in range(60)]
    line = counter("vm.network.io", "vm-1", samples, **RX)
    put(store, [line], "a", NOON + 600)
    put(store, [line], "a", NOON + 600)  # the same batch again
    roll(store, NOON + 1100)
    put(store, [line], "b", NOON + 1200)  # through another collector
    roll(store, NOON + 1300)

    assert store.query("SELECT count(), sum(value) FROM samples").result_rows == [(60, 1770)]
    assert store.query(
        "SELECT sum(count), sum(sum), sum(increase) FROM metrics_5m"
    ).result_rows == [(60, 1770, 59)]


def test_a_run_that_was_stopped_goes_on_where_it_was(store: Client) -> None:
    samples = [(NOON + 100 * n, float(n)) for n in range(36)]
    put(store, [counter("vm.network.io", "vm-1", samples, **RX)], "a", NOON + 3600)
    answers = iter([False] * 5 + [True] * 100)

    first = Roller(store).run(at(NOON + 4000), stopping=lambda: next(answers))
    second = roll(store, NOON + 4000)

    assert first == Rolled(windows=5)
    assert (second.windows, second.hours) == (7, 1)
    assert roll(store, NOON + 4000) == Rolled()
    assert total(store) == 35


def test_an_hour_that_another_collector_rolls_up_meanwhile_has_what_is_repaired(
    store: Client,
) -> None:
    samples = [(NOON + 100 * n, float(n)) for n in range(36)]
    put(store, [counter("vm.network.io", "vm-1", samples, **RX)], "a", NOON + 3500)
    assert roll(store, NOON + 3599) == Rolled(windows=11)
    late = [(NOON + 50, 1000.0)]
    put(store, [counter("vm.network.io", "vm-1", late, **RX)], "b", NOON + 3600)
    other = Roller(store, settle_s=10_000)  # so that it repairs nothing
    meanwhile = [other]

    def in_between() -> bool:
        if meanwhile:
            meanwhile.pop().run(at(NOON + 4000))
        return False

    Roller(store).run(at(NOON + 4000), in_between)

    assert total(store, "metrics_1h") == total(store) == grown(sorted([*samples, *late]))


def test_a_clock_that_jumped_ahead_leaves_no_window_behind(store: Client) -> None:
    put(store, [counter("m", "vm-1", [(NOON, 1.0), (NOON + 10, 2.0)])], "a", NOON + 10)
    roll(store, NOON + 86_400)

    put(store, [counter("m", "vm-1", [(NOON + 400, 7.0)])], "b", NOON + 400)
    roll(store, NOON + 800)

    assert total(store) == total(store, "metrics_1h") == 6


def test_samples_that_may_be_gone_in_part_do_not_replace_their_buckets(store: Client) -> None:
    apply(store, Retention(raw=7 * 86400, classes={}))
    samples = [(NOON + 10 * n, 1.0) for n in range(30)]
    put(store, [Line("heat", "svc", samples)], "a", NOON + 300)
    roll(store, NOON + 4000)
    for table in ("data_windows", "data_blocks", "data_arrivals"):
        store.command(f"TRUNCATE TABLE {table}")

    week_later = NOON + 7 * 86400 + 400
    put(store, [Line("heat", "svc", [(NOON + 5, 1.0)])], "b", week_later)
    roll(store, week_later + 100)

    assert store.command("SELECT sum(count) FROM metrics_5m") == 30


seconds = st.integers(-900, 900).map(lambda n: float(NOON + n))
values = st.one_of(st.integers(0, 1000).map(float), st.just(math.nan))


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    samples=st.lists(st.tuples(seconds, values), min_size=1, max_size=20, unique_by=itemgetter(0)),
    cuts=st.lists(st.integers(0, 20), max_size=2),
)
def test_whatever_arrives_in_whatever_order_buckets_add_up(
    store: Client, samples: list[tuple[float, float]], cuts: list[int]
) -> None:
    for table in schema.TABLES:
        if table.name not in (schema.MIGRATIONS, schema.SETTINGS):
            store.command(f"TRUNCATE TABLE {table.name}")
    now = NOON + 1000.0
    for start, end in pairwise([0, *sorted(cuts), 20]):
        if samples[start:end]:
            put(store, [counter("m", "vm-1", samples[start:end])], str(uuid4()), now)
        now += 200
        roll(store, now)
    roll(store, now + 300)

    assert total(store) == grown(samples)
    before_noon = f"WHERE t < toDateTime({NOON}, 'UTC')"
    sums = "SELECT sum(increase), sum(count)"
    fine = store.query(f"{sums} FROM metrics_5m {before_noon}").result_rows
    assert fine == store.query(f"{sums} FROM metrics_1h").result_rows
    counted = store.command("SELECT sum(count) FROM metrics_5m")
    assert counted == sum(not math.isnan(value) for _, value in samples)
