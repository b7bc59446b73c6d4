"""The checker itself can fail: each way of being wrong is found and named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from chaos.accounts import Account
from chaos.checker import check, expected, missing
from chaos.messages import COUNTER, GAUGE, Point, body
from noon import NOON
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from novacron_store.telemetry.blocks import pack, unpack
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.retention import Retention
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.windows import gather_again
from novacron_store.telemetry.writer import write
from store_process import StoreProcess

ENTITY = "vm-1"


@pytest.fixture
def store(store_process: StoreProcess) -> Iterator[Client]:
    """A migrated, empty database of its own."""
    client = store_process.service()
    client.database = f"chaos_{uuid4().hex}"
    migrate(client)
    yield client
    client.command(f"DROP DATABASE {client.database}")
    client.close()


@pytest.fixture
def account() -> Account:
    """Two windows' points, all of them acknowledged."""
    points = [Point(n, NOON * 1000 + 7000 * n) for n in range(80)]
    account = Account(ENTITY)
    account.send(points)
    account.ack(points)
    return account


def put(store: Client, points: Sequence[Point], token: str) -> None:
    now = float(NOON + 700)
    decoded = Decoder(PointLimits(), 86400, 1000).decode([body(ENTITY, points)], now)
    write(store, decoded.batch, token, datetime.fromtimestamp(now, UTC))


def roll(store: Client) -> None:
    Roller(store).run(datetime.fromtimestamp(NOON + 7200, UTC))


def said(store: Client, account: Account) -> str:
    return "\n".join(check(store, [account]).violations)


def test_what_is_stored_once_and_rolled_up_is_right(store: Client, account: Account) -> None:
    points = list(account.sent.values())
    put(store, points, "a")
    put(store, points[:30], "again, in another request")
    roll(store)

    checked = check(store, [account])

    assert checked.violations == ()
    assert (checked.samples, checked.buckets) == (160, 6)
    assert missing(store, [account]) == 0


def test_a_lost_point_is_found(store: Client, account: Account) -> None:
    points = list(account.sent.values())
    put(store, points[:40] + points[41:], "a")
    roll(store)

    lost = f"1 acknowledged points are lost: {points[40].ts}"
    assert said(store, account) == (f"{ENTITY} {GAUGE}: {lost}\n{ENTITY} {COUNTER}: {lost}")
    assert missing(store, [account]) == 2


def test_what_was_never_acknowledged_may_be_missing(store: Client, account: Account) -> None:
    points = list(account.sent.values())
    put(store, points[:40] + points[41:], "a")
    roll(store)
    account.acked.discard(points[40].ts)

    assert said(store, account) == ""


def test_a_doubled_point_is_found(store: Client, account: Account) -> None:
    """A view that shows what lies in the table, as if equal points were not one."""
    points = list(account.sent.values())
    put(store, points, "a")
    put(store, points[:1], "b")
    roll(store)
    store.command("DROP VIEW samples")
    store.command(
        "CREATE VIEW samples AS SELECT metric, entity, series, ts, start_ts, value "
        "FROM data_arrivals ARRAY JOIN metrics AS metric, ids AS series, "
        "starts AS start_ts, numbers AS value"
    )

    violations = said(store, account)

    assert f"{GAUGE}: 81 rows of 80 points: some count twice" in violations
    assert f"{GAUGE}: metrics_5m at {NOON} says (43.0," in violations


def test_a_point_that_nobody_sent_and_a_wrong_value_are_found(
    store: Client, account: Account
) -> None:
    points = list(account.sent.values())
    put(store, [*points[1:], Point(500, points[0].ts), Point(81, points[0].ts + 1)], "a")
    roll(store)

    violations = said(store, account)

    assert f"{GAUGE}: 1 points were never sent: {points[0].ts + 1}" in violations
    assert f"{GAUGE}: 1 points have another value: {points[0].ts}" in violations


def test_a_bucket_that_misses_late_points_is_found(store: Client, account: Account) -> None:
    points = list(account.sent.values())
    put(store, points[:70], "a")
    roll(store)
    put(store, points[70:], "late")
    unpack(store, NOON)
    for window in range(NOON, NOON + 3600, 300):
        gather_again(store, window, Retention())
    pack(store, NOON)

    violations = said(store, account)

    assert f"{COUNTER}: metrics_5m at {NOON + 300} says (27.0," in violations
    assert f"{COUNTER}: metrics_1h at {NOON} says (70.0," in violations


def test_an_answer_that_no_honest_sender_may_get_is_told(store: Client, account: Account) -> None:
    put(store, list(account.sent.values()), "a")
    roll(store)
    account.wrong.append("400 it is not OTLP")

    assert said(store, account) == f"{ENTITY}: answered 400 it is not OTLP"


def test_a_counter_grows_over_borders_and_restarts() -> None:
    samples = [(299_000, 10.0), (300_000, 15.0), (301_000, 4.0), (599_999, 6.0)]

    assert expected(samples, 300, growing=True) == {
        0: (1, 10, 10, 10, 10, 10, 0),
        300: (3, 4, 15, 25, 15, 6, 5 + 4 + 2),
    }
