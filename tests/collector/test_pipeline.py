"""Group commit: an answer means that the rows are in the log; a failure means: send it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from novacron_collector.otlp.decoded import Decoded, Outcome
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from novacron_collector.pipeline import Committed, Pipeline, Request
from novacron_collector.store import Store
from novacron_collector.wal.log import LogFull
from novacron_collector.writing import WriterThread
from novacron_contract.errors import BadMessage, Refused, Unavailable
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.retention import Retention
from store_process import StoreProcess
from wal_folder import MIB, limits, opened


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
    folder: Path,
    connect: Callable[[], Client],
    observers: tuple[Callable[[Committed], None], ...] = (),
) -> AsyncIterator[Pipeline]:
    """A pipeline, and a writer that has written everything when this ends, if it can."""
    wal = opened(folder)
    pipeline = Pipeline(
        Decoder(PointLimits(), 7 * 86400, 1000), wal.log, wal.ledger, wal.poison, 0.05, observers
    )
    store = Store(connect, Retention())
    writer = WriterThread(wal.log, wal.ledger, store, pipeline.describe_again)
    writer.start()
    task = asyncio.create_task(pipeline.run())
    try:
        yield pipeline
    finally:
        pipeline.drain()
        await task
        pipeline.close()
        await asyncio.to_thread(writer.stop)
        wal.log.close()


def test_requests_that_come_together_are_one_commit(
    client: Client, store_process: StoreProcess, tmp_path: Path
) -> None:
    commits: list[Committed] = []

    async def scenario() -> None:
        async with running(tmp_path, store_process.service, (commits.append,)) as pipeline:
            sending = [pipeline.store(request("together", n, f"vm-{n}")) for n in range(50)]
            outcomes = await asyncio.gather(*sending)
            assert [outcome.points for outcome in outcomes] == [1] * 50

    asyncio.run(scenario())
    assert count(client, "samples", "together") == 50
    assert [len(commit.requests) for commit in commits] == [50]


def test_a_request_that_is_not_otlp_is_told_so_and_its_neighbours_are_stored(
    client: Client, store_process: StoreProcess, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(tmp_path, store_process.service) as pipeline:
            bad = pipeline.store(Request(b"\x0a\x05ab"))
            good = pipeline.store(request("neighbour", 1))
            told, stored = await asyncio.gather(bad, good)
            assert "not an OTLP metrics request" in told.error
            assert stored.points == 1

    asyncio.run(scenario())
    assert count(client, "samples", "neighbour") == 1


def test_what_was_acknowledged_while_the_store_was_away_is_stored_when_it_is_back(
    client: Client, store_process: StoreProcess, tmp_path: Path
) -> None:
    def away() -> Client:
        raise Unavailable("the telemetry store does not answer")

    async def scenario(connect: Callable[[], Client], *requests: Request) -> None:
        async with running(tmp_path, connect) as pipeline:
            for one in requests:
                assert (await pipeline.store(one)).points == 1

    asyncio.run(scenario(away, request("waited", 1, "vm-1"), request("waited", 2, "vm-2")))
    assert count(client, "samples", "waited") == 0
    asyncio.run(scenario(store_process.service))
    assert count(client, "samples", "waited") == 2
    assert count(client, "series", "waited") == 2


def test_what_found_no_room_is_described_when_it_is_sent_again(
    client: Client, store_process: StoreProcess, tmp_path: Path
) -> None:
    """There is room again: the description must not be lost with the failed append."""
    with_limits = limits(size=MIB)
    wal = opened(tmp_path, with_limits)

    async def refused() -> None:
        pipeline = Pipeline(
            Decoder(PointLimits(), 7 * 86400, 1000), wal.log, wal.ledger, wal.poison, 0.0
        )
        task = asyncio.create_task(pipeline.run())
        wal.log.append(b"\x02\x00\x00\x00{}", [b"x" * (MIB - 1000)], 1)
        with pytest.raises(LogFull, match="is full"):
            await pipeline.store(request("again", 1))
        assert pipeline.counts.failures == 1
        (segment,) = [wal.log.oldest(0.5)]
        assert segment is not None
        wal.log.remove(segment)
        assert (await pipeline.store(request("again", 1))).points == 1
        pipeline.drain()
        await task

    asyncio.run(refused())
    wal.log.close()

    async def written() -> None:
        async with running(tmp_path, store_process.service):
            pass

    asyncio.run(written())
    assert count(client, "samples", "again") == 1
    assert count(client, "series", "again") == 1


def test_a_request_sent_twice_is_stored_once(
    client: Client, store_process: StoreProcess, tmp_path: Path
) -> None:
    twice = request("twice", 1)

    async def scenario(repeated: int) -> None:
        async with running(tmp_path, store_process.service) as pipeline:
            await pipeline.store(twice)
            await pipeline.store(twice)
            assert pipeline.counts.repeated == repeated

    asyncio.run(scenario(1))
    asyncio.run(scenario(2))  # known after a restart, too
    assert count(client, "samples", "twice") == 1


def test_a_wrong_password_is_said_with_what_to_do() -> None:
    def open_client() -> Client:
        raise Refused("the telemetry store refuses: Authentication failed")

    store = Store(open_client, Retention())
    with pytest.raises(Refused):
        store.open()
    assert "check user and password_file under [tel" in store.problem


def test_a_stop_commits_what_has_come_and_refuses_the_rest(
    client: Client, store_process: StoreProcess, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with running(tmp_path, store_process.service) as pipeline:
            last = asyncio.create_task(pipeline.store(request("last", 1)))
            await asyncio.sleep(0)
            pipeline.drain()
            with pytest.raises(Unavailable, match="shutting down"):
                await pipeline.store(request("late", 1))
            assert (await last).points == 1

    asyncio.run(scenario())
    assert count(client, "samples", "last") == 1


def test_an_observer_that_fails_spoils_no_commit(
    store_process: StoreProcess, tmp_path: Path
) -> None:
    def fail(_committed: Committed) -> None:
        raise ValueError("an observer's bug")

    async def scenario() -> int:
        async with running(tmp_path, store_process.service, (fail,)) as pipeline:
            await pipeline.store(request("observed", 1))
            return (await pipeline.store(request("observed", 2))).points

    assert asyncio.run(scenario()) == 1


def test_the_store_in_this_process_serves_as_well(tmp_path: Path) -> None:
    """A folder of chDB, as benchmarks use it, stands for a server."""

    async def scenario() -> int:
        async with running(tmp_path, lambda: connect(f"chdb://{tmp_path}/data")) as pipeline:
            return (await pipeline.store(request("embedded", 1))).points

    assert asyncio.run(scenario()) == 1


class Failing(Decoder):
    """Fails on a request that names the metric "poison", as a defect of the decoder would."""

    def decode(
        self, bodies: Sequence[bytes], now_s: float, proven: Sequence[bool] | None = None
    ) -> Decoded:
        if any(b"poison" in body for body in bodies):
            raise ValueError("a defect")
        return super().decode(bodies, now_s, proven)


def test_a_request_that_the_collector_fails_on_is_put_aside_and_its_neighbours_are_stored(
    client: Client, store_process: StoreProcess, tmp_path: Path
) -> None:
    wal = opened(tmp_path)
    poison = request("poison", 1)

    async def scenario() -> None:
        decoder = Failing(PointLimits(), 7 * 86400, 1000)
        pipeline = Pipeline(decoder, wal.log, wal.ledger, wal.poison, 0.02)
        task = asyncio.create_task(pipeline.run())
        for time_ in range(5):
            bad, good = pipeline.store(poison), pipeline.store(request("beside", time_, f"{time_}"))
            told, stored = await asyncio.gather(bad, good, return_exceptions=True)
            assert isinstance(told, Unavailable)
            assert isinstance(stored, Outcome)
        with pytest.raises(BadMessage, match="again and again"):
            await pipeline.store(poison)
        pipeline.drain()
        await task

    asyncio.run(scenario())
    letters = list((tmp_path / "wal" / "dead-letters").glob("*.otlp"))
    assert [letter.read_bytes() for letter in letters] == [poison.body]
    wal.log.close()


def test_while_the_clock_is_not_set_senders_are_told_to_come_again(tmp_path: Path) -> None:
    wal = opened(tmp_path)

    async def scenario() -> None:
        decoder = Decoder(PointLimits(), 7 * 86400, 1000)
        pipeline = Pipeline(decoder, wal.log, wal.ledger, wal.poison, 0.0, now=lambda: 86400.0)
        task = asyncio.create_task(pipeline.run())
        with pytest.raises(Unavailable, match=r"clock .* is wrong \(1970-01-02\): set it"):
            await pipeline.store(request("early", 1))
        pipeline.drain()
        await task

    asyncio.run(scenario())
    assert wal.log.state().bytes == 0
    wal.log.close()
