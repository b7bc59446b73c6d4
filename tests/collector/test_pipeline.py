"""Group commit: an answer means that the rows are committed; a failure means: send it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from novacron_collector.pipeline import Committed, Pipeline, Request
from novacron_collector.store import Store
from novacron_contract.errors import Refused, Unavailable
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.retention import Retention
from store_process import StoreProcess


@pytest.fixture
def client(store_process: StoreProcess) -> Iterator[Client]:
    client = store_process.service()
    yield client
    client.close()


def request(metric: str, value: float, vm: str = "vm-1") -> Request:
    data = MetricsData()
    group = data.resource_metrics.add()
    group.resource.attributes.add(key="vm.id").value.string_value = vm
    metric_ = group.scope_metrics.add().metrics.add(name=metric)
    metric_.gauge.data_points.add(time_unix_nano=time.time_ns(), as_double=value)
    return Request(bytes(data.SerializeToString()))


def count(client: Client, table: str, metric: str) -> int:
    sql = f"SELECT count() FROM {table} WHERE metric = {{metric:String}}"
    return int(client.query(sql, parameters={"metric": metric}).result_rows[0][0])


@asynccontextmanager
async def running(
    connect: Callable[[], Client], observers: tuple[Callable[[Committed], None], ...] = ()
) -> AsyncIterator[Pipeline]:
    decoder = Decoder(PointLimits(), 7 * 86400, 1000)
    pipeline = Pipeline(decoder, Store(connect, Retention()), 0.05, observers)
    task = asyncio.create_task(pipeline.run())
    yield pipeline
    pipeline.drain()
    await task
    pipeline.close()


def test_requests_that_come_together_are_one_commit(
    client: Client, store_process: StoreProcess
) -> None:
    commits: list[Committed] = []

    async def scenario() -> int:
        async with running(store_process.service, (commits.append,)) as pipeline:
            sending = [pipeline.store(request("together", n, f"vm-{n}")) for n in range(50)]
            outcomes = await asyncio.gather(*sending)
            assert [outcome.points for outcome in outcomes] == [1] * 50
            return count(client, "samples", "together")

    assert asyncio.run(scenario()) == 50
    assert [len(commit.requests) for commit in commits] == [50]


def test_a_request_that_is_not_otlp_is_told_so_and_its_neighbours_are_stored(
    client: Client, store_process: StoreProcess
) -> None:
    async def scenario() -> None:
        async with running(store_process.service) as pipeline:
            bad = pipeline.store(Request(b"\x0a\x05ab"))
            good = pipeline.store(request("neighbour", 1))
            told, stored = await asyncio.gather(bad, good)
            assert "not an OTLP metrics request" in told.error
            assert stored.points == 1

    asyncio.run(scenario())
    assert count(client, "samples", "neighbour") == 1


def test_what_could_not_be_stored_is_described_when_it_is_sent_again(
    client: Client, store_process: StoreProcess
) -> None:
    """The store comes back: the series' description must not be lost with the failed write."""
    is_up = False

    def open_client() -> Client:
        if not is_up:
            raise Unavailable("the telemetry store does not answer")
        return store_process.service()

    async def scenario() -> None:
        nonlocal is_up
        again = request("again", 1)
        async with running(open_client) as pipeline:
            with pytest.raises(Unavailable, match="start novacron-store"):
                await pipeline.store(again)
            is_up = True
            assert (await pipeline.store(again)).points == 1
            assert pipeline.counts.failures == 1

    asyncio.run(scenario())
    assert count(client, "samples", "again") == 1
    assert count(client, "series", "again") == 1


def test_a_request_sent_twice_is_stored_once(client: Client, store_process: StoreProcess) -> None:
    async def scenario() -> None:
        twice = request("twice", 1)
        async with running(store_process.service) as pipeline:
            await pipeline.store(twice)
            await pipeline.store(twice)

    asyncio.run(scenario())
    assert count(client, "samples", "twice") == 1


def test_a_wrong_password_is_said_with_what_to_do() -> None:
    def open_client() -> Client:
        raise Refused("the telemetry store refuses: Authentication failed")

    async def scenario() -> None:
        async with running(open_client) as pipeline:
            with pytest.raises(Unavailable, match=r"check user and password_file under \[tel"):
                await pipeline.store(request("secret", 1))

    asyncio.run(scenario())


def test_a_stop_commits_what_has_come_and_refuses_the_rest(
    client: Client, store_process: StoreProcess
) -> None:
    async def scenario() -> None:
        async with running(store_process.service) as pipeline:
            last = asyncio.create_task(pipeline.store(request("last", 1)))
            await asyncio.sleep(0)
            pipeline.drain()
            with pytest.raises(Unavailable, match="shutting down"):
                await pipeline.store(request("late", 1))
            assert (await last).points == 1

    asyncio.run(scenario())
    assert count(client, "samples", "last") == 1


def test_an_observer_that_fails_spoils_no_commit(store_process: StoreProcess) -> None:
    def fail(_committed: Committed) -> None:
        raise ValueError("an observer's bug")

    async def scenario() -> int:
        async with running(store_process.service, (fail,)) as pipeline:
            await pipeline.store(request("observed", 1))
            return (await pipeline.store(request("observed", 2))).points

    assert asyncio.run(scenario()) == 1


def test_the_store_in_this_process_serves_as_well(tmp_path: Path) -> None:
    """A folder of chDB, as benchmarks use it, stands for a server."""

    async def scenario() -> int:
        async with running(lambda: connect(f"chdb://{tmp_path}/data")) as pipeline:
            return (await pipeline.store(request("embedded", 1))).points

    assert asyncio.run(scenario()) == 1
