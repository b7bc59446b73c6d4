"""More than is allowed at a time: told to come again, with when, and nothing is kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from novacron_collector.admission import Busy, Room
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits
from novacron_collector.pipeline import Pipeline
from novacron_collector.receivers.body import BodyLimits
from novacron_collector.receivers.http import PROTOBUF, create_app
from novacron_collector.receivers.intake import Intake
from wal_folder import opened

MINUTE = BodyLimits(wire=10_000, inflated=10_000, seconds=60)


def receiver(folder: Path, room: Room, limits: BodyLimits = MINUTE) -> httpx.AsyncClient:
    """A receiver whose pipeline never gets round to anything: what comes stays in hand."""
    wal = opened(folder)
    pipeline = Pipeline(Decoder(PointLimits(), 86400, 1000), wal.log, wal.ledger, wal.poison, 0.1)
    app = create_app(Intake(pipeline, room), limits, json_limit=10_000)
    transport = httpx.ASGITransport(app)
    headers = {"content-type": PROTOBUF}
    return httpx.AsyncClient(transport=transport, base_url="http://collector", headers=headers)


def assert_come_again(answer: httpx.Response, code: int, says: str) -> None:
    assert answer.status_code == code
    status, retry = Status.FromString(answer.content), RetryInfo()
    assert says in status.message
    assert status.details[0].Unpack(retry)
    assert int(answer.headers["retry-after"]) == retry.retry_delay.seconds > 0


def test_beyond_the_number_of_requests_in_hand_a_sender_is_told_to_come_again(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        room = Room(max_bytes=1000, max_requests=1)
        async with receiver(tmp_path, room) as http:
            first = asyncio.create_task(http.post("/v1/metrics", content=b"abc"))
            while not room.bytes:
                await asyncio.sleep(0)
            assert_come_again(await http.post("/v1/metrics"), 429, "1 requests are in hand")
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        assert (room.requests, room.bytes) == (0, 0)

    asyncio.run(scenario())


def test_beyond_the_bytes_in_hand_a_sender_is_told_to_come_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        room = Room(max_bytes=1000, max_requests=10)
        async with receiver(tmp_path, room) as http:
            answer = await http.post("/v1/metrics", content=b"x" * 1001)
            assert_come_again(answer, 429, "no room for more")
        assert (room.requests, room.bytes) == (0, 0)

    asyncio.run(scenario())


def test_a_sender_that_takes_too_long_is_cut_off(tmp_path: Path) -> None:
    async def forever() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    async def scenario() -> None:
        room = Room(max_bytes=1000, max_requests=10)
        async with receiver(tmp_path, room, BodyLimits(10_000, 10_000, seconds=0.1)) as http:
            answer = await http.post("/v1/metrics", content=forever())
            assert_come_again(answer, 408, "did not arrive within 0.1 s")
        assert (room.requests, room.bytes) == (0, 0)

    asyncio.run(scenario())


def test_room_is_given_back_whatever_happens() -> None:
    room = Room(max_bytes=10, max_requests=1)
    with room.enter() as place:
        place.grow(10)
        with pytest.raises(Busy):
            place.grow(1)
        with pytest.raises(Busy), room.enter():
            pass
    assert (room.requests, room.bytes) == (0, 0)
