"""Each fault does to a connection what it says, and says that it did."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from chaos.proxy import Fault, Kind, Proxy, Streams, Weather

REQUEST, ANSWER = b"q" * 1000, b"a" * 100
_LIMIT_S = 20


@dataclass
class Server:
    """Answers each whole request, and remembers what came."""

    received: bytearray = field(default_factory=bytearray)
    answered: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                self.received += piece
                while len(self.received) >= (self.answered + 1) * len(REQUEST):
                    self.answered += 1
                    writer.write(ANSWER)
                    await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def through(fault: Fault) -> AsyncIterator[tuple[Server, Proxy, Streams]]:
    """A server, a proxy with that fault, and a connection through it."""
    server = Server()
    upstream = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    host, port = upstream.sockets[0].getsockname()
    async with upstream, Proxy(f"{host}:{port}", lambda: fault).serving() as proxy:
        host, _, number = proxy.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(number))
        yield server, proxy, (reader, writer)
        writer.close()


def run(scenario: Callable[[], object]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(scenario(), _LIMIT_S)  # type: ignore[arg-type]

    asyncio.run(limited())


async def ask(streams: Streams) -> bytes:
    """The answer; less than a whole one where the connection ended before."""
    reader, writer = streams
    writer.write(REQUEST)
    await writer.drain()
    try:
        return await reader.readexactly(len(ANSWER))
    except asyncio.IncompleteReadError as err:
        return err.partial


def test_without_a_fault_all_passes() -> None:
    async def scenario() -> None:
        async with through(Fault()) as (_, proxy, streams):
            assert [await ask(streams) for _ in range(3)] == [ANSWER] * 3
            assert not proxy.struck

    run(scenario)


def test_a_request_is_cut_in_its_middle() -> None:
    async def scenario() -> None:
        async with through(Fault(Kind.CUT_REQUEST, after=1400)) as (server, proxy, streams):
            assert await ask(streams) == ANSWER
            assert await ask(streams) == b""
            await until(lambda: len(server.received) == 1400)
            assert server.answered == 1
            assert proxy.struck == {Kind.CUT_REQUEST: 1}

    run(scenario)


def test_an_answer_is_cut_in_its_middle() -> None:
    async def scenario() -> None:
        async with through(Fault(Kind.CUT_ANSWER, after=140)) as (server, _, streams):
            assert await ask(streams) == ANSWER
            assert await ask(streams) == ANSWER[:40]
            assert server.answered == 2

    run(scenario)


def test_an_answer_is_dropped_after_the_server_gave_it() -> None:
    async def scenario() -> None:
        async with through(Fault(Kind.DROP_ANSWER, after=140)) as (server, _, streams):
            assert await ask(streams) == ANSWER
            assert await ask(streams) == b""
            assert (server.answered, len(server.received)) == (2, 2 * len(REQUEST))

    run(scenario)


def test_a_reset_is_a_reset() -> None:
    async def scenario() -> None:
        async with through(Fault(Kind.RESET, after=10)) as (server, _, streams):
            with pytest.raises(ConnectionResetError):
                await ask(streams)
            assert server.answered == 0

    run(scenario)


def test_a_stall_passes() -> None:
    async def scenario() -> None:
        async with through(Fault(Kind.STALL, after=10, seconds=0.3)) as (_, proxy, streams):
            before = time.monotonic()
            assert await ask(streams) == ANSWER
            assert time.monotonic() - before >= 0.3
            assert await ask(streams) == ANSWER
            assert proxy.struck == {Kind.STALL: 1}

    run(scenario)


def test_latency_holds_up_each_way() -> None:
    async def scenario() -> None:
        async with through(Fault(Kind.LATENCY, seconds=0.1)) as (_, proxy, streams):
            before = time.monotonic()
            assert await ask(streams) == ANSWER
            assert time.monotonic() - before >= 0.2
            assert proxy.struck == {Kind.LATENCY: 1}

    run(scenario)


def test_a_half_open_connection_says_nothing_any_more_and_stays() -> None:
    async def scenario() -> None:
        async with through(Fault(Kind.HALF_OPEN, after=1400)) as (server, _, streams):
            assert await ask(streams) == ANSWER
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(streams), 0.3)
            assert server.answered == 1
            assert not streams[0].at_eof()

    run(scenario)


def test_who_connects_while_nobody_serves_is_reset() -> None:
    async def scenario() -> None:
        async with through(Fault()) as (_, proxy, _streams):
            proxy.upstream = "127.0.0.1:1"
            host, _, port = proxy.address.partition(":")
            with pytest.raises(ConnectionResetError):
                await ask(await asyncio.open_connection(host, int(port)))

    run(scenario)


def test_all_can_be_reset_at_once() -> None:
    async def scenario() -> None:
        async with through(Fault()) as (_, proxy, streams):
            assert await ask(streams) == ANSWER
            proxy.reset_all()
            with pytest.raises(ConnectionResetError):
                await ask(streams)

    run(scenario)


def test_the_same_seed_draws_the_same_faults_whether_calm_or_not() -> None:
    drawn = [Weather(random.Random(7)) for _ in range(2)]
    faults = [[weather() for _ in range(200)] for weather in drawn]

    assert faults[0] == faults[1]
    assert {fault.kind for fault in faults[0]} == set(Kind)
    for weather in drawn:
        weather.calm = True
    assert {weather().kind for weather in drawn} == {Kind.NONE}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)
