"""Between receiving and logging: what is offered to the queues, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from forwarding import destination, forwarding, gauge, values
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from novacron_collector.pipeline import Committed, Pipeline, Request
from novacron_contract.errors import Unavailable
from otlp_receiver import otlp_receiver
from wal_folder import Wal, opened


@asynccontextmanager
async def pipeline(wal: Wal, before: Callable[[Committed], None]) -> AsyncIterator[Pipeline]:
    decoder = Decoder(PointLimits(), 7 * 86400, 1000)
    made = Pipeline(decoder, wal.log, wal.ledger, wal.poison, 0.0, before=before)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        made.drain()
        await task
        made.close()
        wal.log.close()


def request(metric: str, **point: Any) -> Request:
    data = MetricsData()
    target = data.resource_metrics.add().scope_metrics.add().metrics.add(name=metric)
    target.gauge.data_points.add(**{"time_unix_nano": time.time_ns(), "as_int": 0, **point})
    return Request(bytes(data.SerializeToString()))


def test_it_is_in_the_queues_before_it_is_in_the_log(tmp_path: Path) -> None:
    """A crash between the two must forward it twice, and not never: the ledger knows what the log
    holds, so that the sender's next attempt would be no news."""
    wal = opened(tmp_path)
    seen: list[tuple[int, bool]] = []
    one = request("cpu")

    def before(_: Committed) -> None:
        seen.append((wal.log.state().bytes, bool(wal.ledger.known([one.key()]))))

    async def scenario() -> None:
        async with pipeline(wal, before) as running:
            assert (await running.store(one)).points == 1
            assert (await running.store(one)).points == 0, "it is known now"

    asyncio.run(scenario())
    assert seen == [(0, False)]


def test_only_what_is_stored_here_goes_on_and_as_it_came(tmp_path: Path) -> None:
    partly = MetricsData.FromString(request("partly").body)
    target = partly.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    target.add(as_double=float("inf"), time_unix_nano=time.time_ns())

    async def scenario(offer: Callable[[Committed], None]) -> None:
        async with pipeline(opened(tmp_path), offer) as running:
            bodies = (b"\x0a\x05ab", request("rejected", time_unix_nano=1).body, b"")
            sending = [running.store(Request(body)) for body in bodies]
            sending += [running.store(Request(partly.SerializeToString()))]
            sending += [running.store(request("whole"))]
            await asyncio.gather(*sending)

    with (
        otlp_receiver() as receiver,
        forwarding(tmp_path / "forward", destination(receiver.url)) as forwarder,
    ):
        asyncio.run(scenario(forwarder.offer_committed))
        received = receiver.wait_for(1)
    assert values(received) == [("partly", 0), ("partly", 0), ("whole", 0)]


def test_a_queue_that_fails_is_no_matter_of_the_senders(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = destination("http://127.0.0.1:9")
    with forwarding(tmp_path / "forward", there, drain_s=0) as forwarder:
        queue = tmp_path / "forward" / "there"
        for path in (*queue.glob("*.seg"), queue / "lock"):
            path.unlink()
        (queue / "set-aside").rmdir()
        queue.rmdir()  # nothing can be written there any more

        async def scenario() -> None:
            async with pipeline(opened(tmp_path), forwarder.offer_committed) as running:
                for n in range(3):
                    assert (await running.store(request(f"m{n}"))).points == 1

        asyncio.run(scenario())
        assert forwarder.counters()["forward_there_dropped"] == 3
    assert len([m for m in caplog.messages if "its queue takes nothing" in m]) == 1


def test_what_finds_no_room_in_the_log_is_not_forwarded_each_time_it_is_tried(
    tmp_path: Path,
) -> None:
    wal = opened(tmp_path)
    wal.log.append(b"\x02\x00\x00\x00{}", [b"x" * (64 * 2**20 - 100)], 1)
    offered: list[Committed] = []

    async def scenario() -> None:
        async with pipeline(wal, offered.append) as running:
            with pytest.raises(Unavailable):
                await running.store(Request(gauge("cpu", 100).body))

    asyncio.run(scenario())
    assert offered == []
