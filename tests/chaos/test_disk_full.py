"""Full disks: the sender is told to come again, nothing breaks, and it goes on by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from uuid import uuid4

import grpc
import httpx
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from chaos.disks import full
from chaos.messages import Point, body
from chaos.programs import Collector, MakeSystem
from chaos.reckoning import reckon, until
from chaos.traffic import traffic
from novacron_contract.errors import Unavailable
from novacron_store.telemetry.batch import Batch
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

_METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
_MIB = 2**20


def assert_told_to_come_again(collector: Collector, entity: str) -> None:
    request = body(entity, [Point(0, 1)])
    headers = {"Content-Type": "application/x-protobuf"}
    answer = httpx.post(
        f"http://{collector.http}/v1/metrics", content=request, headers=headers, timeout=30
    )
    assert answer.status_code == 429, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    with grpc.insecure_channel(collector.grpc) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(_METHOD)(request, timeout=30)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        details = dict(refused.value.trailing_metadata())["grpc-status-details-bin"]
    retry = RetryInfo()
    assert Status.FromString(details).details[0].Unpack(retry)
    assert retry.retry_delay.seconds > 0


def test_a_full_disk_under_the_log_holds_senders_back_until_there_is_room(
    start: MakeSystem, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("64m")
    parts = start(wal=disk / "wal")
    (collector,) = parts.collectors
    with traffic("log-full", [collector.http], [collector.grpc]) as sent:
        until(lambda: sent.acknowledged() > 4, 30, "requests are acknowledged")
        with full(disk):
            until(lambda: sent.counted("told to come again") > 4, 60, "told to come again")
            assert_told_to_come_again(collector, sent.accounts[0].entity)
        before = sent.acknowledged()
        until(lambda: sent.acknowledged() > before + 4, 60, "it goes on by itself")
    checked = reckon(parts, sent.accounts)

    assert checked.violations == ()


def test_a_log_that_fills_up_while_the_store_is_away_empties_itself_afterwards(
    start: MakeSystem, small_disk: Callable[[str], Path]
) -> None:
    parts = start(wal=small_disk("6m") / "wal")
    (collector,) = parts.collectors
    parts.store.kill()
    with traffic("log-fills", [collector.http], [collector.grpc], senders=8, points=1000) as sent:
        until(lambda: sent.counted("told to come again") > 4, 120, "the log is full")
        parts.store.start()
        before = sent.acknowledged()
        until(lambda: sent.acknowledged() > before + 8, 120, "it goes on by itself")
    checked = reckon(parts, sent.accounts)

    assert checked.violations == ()


def test_a_full_disk_under_the_store_is_told_and_everything_is_there_once_it_has_room(
    start: MakeSystem, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("512m")
    parts = start(data=disk / "data")
    (collector,) = parts.collectors
    with traffic("store-full", [collector.http], [collector.grpc]) as sent:
        until(lambda: sent.acknowledged() > 4, 30, "requests are acknowledged")
        with full(disk):
            until(lambda: "disk is full" in collector.notices(), 60, "the status tells it")
            before = sent.acknowledged()
            until(lambda: sent.acknowledged() > before + 4, 30, "acknowledged from the log")
        until(lambda: "disk is full" not in collector.notices(), 60, "it goes on by itself")
    checked = reckon(parts, sent.accounts)

    assert checked.violations == ()


def test_a_disk_that_fills_up_while_windows_are_rolled_up_loses_none_of_their_samples(
    start: MakeSystem, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("512m")
    parts = start(data=disk / "data")
    parts.collectors[0].program.kill()
    client = parts.client()
    ahead = time.time() + 3600
    line = Line("heat", "vm-1", [(ahead + 10 * n, float(n)) for n in range(60)])
    write(client, batch([line]), "one", at(ahead))
    sql = "SELECT count(), sum(value) FROM samples WHERE entity = 'vm-1'"

    with full(disk), pytest.raises(Unavailable, match=r"(?i)space|free"):
        Roller(client).run(at(ahead + 3600))
    assert client.query(sql).result_rows == [(60, sum(range(60)))]
    Roller(client).run(at(ahead + 3600))

    assert client.query(sql).result_rows == [(60, sum(range(60)))]
    gathered = "SELECT sum(length(times)) FROM data_windows FINAL WHERE entity = 'vm-1'"
    assert client.command(gathered) == 60
    client.close()


def test_a_disk_that_is_full_for_moments_costs_nothing_that_was_written(
    start: MakeSystem, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("512m")
    parts = start(data=disk / "data")
    parts.collectors[0].program.kill()
    client, now = parts.client(), time.time() - 3600
    samples = [(now + n / 100, float(n)) for n in range(40_000)]
    with moments_full(disk):
        failures = [
            stored_at_last(client, batch([Line("heat", f"vm-{n}", samples)])) for n in range(12)
        ]

    wanted = {f"vm-{n}": (40_000, sum(range(40_000))) for n in range(12)}
    until(lambda: heat(client) == wanted, 30, "all of it is there")
    assert sum(failures) > 0  # or it was full at no moment that mattered
    client.close()


def heat(client: Client) -> dict[str, tuple[int, float]]:
    """How many values of each machine, and their sum; nothing while it cannot be read."""
    sql = "SELECT entity, count(), sum(value) FROM samples WHERE metric = 'heat' GROUP BY entity"
    try:
        rows = client.query(sql).result_rows
    except DatabaseError:
        return {}
    return {entity: (count, total) for entity, count, total in rows}


@contextmanager
def moments_full(disk: Path) -> Iterator[None]:
    """Again and again no byte is free, for no longer than it takes to notice."""
    ended = threading.Event()

    def fill() -> None:
        while not ended.wait(0.03):
            with full(disk):
                pass

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        yield
    finally:
        ended.set()
        filling.join()


def stored_at_last(client: Client, wanted: Batch) -> int:
    """How often it was not stored before."""
    for attempt in count():
        try:
            write(client, wanted, uuid4().hex)
        except Unavailable:
            continue
        return attempt
    raise AssertionError
