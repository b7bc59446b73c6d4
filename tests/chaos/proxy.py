"""A TCP proxy that does to connections what networks do: late, stalled, cut, reset, half-open."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

_CHUNK = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, and tell by RST


class Kind(StrEnum):
    NONE = "none"
    LATENCY = "latency"
    STALL = "stall"
    CUT_REQUEST = "request cut"
    CUT_ANSWER = "answer cut"
    DROP_ANSWER = "answer dropped"
    RESET = "reset"
    HALF_OPEN = "half-open"


_OF_REQUESTS = frozenset({Kind.STALL, Kind.CUT_REQUEST, Kind.RESET, Kind.HALF_OPEN})
_OF_ANSWERS = frozenset({Kind.CUT_ANSWER, Kind.DROP_ANSWER})


@dataclass(frozen=True, slots=True)
class Fault:
    """Strikes once `after` bytes passed in its direction.

    `seconds`: how long a stall lasts, or how late each piece of a connection with latency is.
    A dropped answer is dropped with all of the piece it came in: the server has sent it whole.
    """

    kind: Kind = Kind.NONE
    after: int = 0
    seconds: float = 0.0


@dataclass
class Weather:
    """Draws the fault of each connection; none once `calm`. `requests` and `answers`: it strikes
    before so many bytes of theirs."""

    chance: random.Random
    share: float = 0.6
    calm: bool = False
    requests: int = 6_000
    answers: int = 800

    def __call__(self) -> Fault:
        kind = self.chance.choice([kind for kind in Kind if kind is not Kind.NONE])
        after = self.chance.randrange(self.requests if kind in _OF_REQUESTS else self.answers)
        seconds = self.chance.uniform(0, 0.2 if kind is Kind.LATENCY else 6)
        if self.calm or self.chance.random() >= self.share:
            return Fault()
        return Fault(kind, after, seconds)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Proxy:
    """Hands on to `upstream`, HOST:PORT. `struck` counts the faults that happened."""

    upstream: str
    fault: Callable[[], Fault]
    struck: Counter[Kind] = field(default_factory=Counter)
    address: str = ""
    _open: set[_Connection] = field(default_factory=set)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.reset_all()

    def reset_all(self) -> None:
        """End every connection that is open now, as after a network's outage."""
        for connection in tuple(self._open):
            connection.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.upstream.rpartition(":")
        try:
            server = await asyncio.open_connection(host, int(port))
        except OSError:
            _reset(writer)
            return
        connection = _Connection(self.fault(), (reader, writer), server, self.struck)
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)


class _Connection:
    def __init__(
        self, fault: Fault, client: Streams, server: Streams, struck: Counter[Kind]
    ) -> None:
        self._fault = fault
        self._client = client
        self._server = server
        self._struck = struck
        self._over = False  # the fault has struck
        self._silent = False

    async def run(self) -> None:
        (from_client, to_client), (from_server, to_server) = self._client, self._server
        pumps = [
            asyncio.create_task(self._pump(from_client, to_server, _OF_REQUESTS)),
            asyncio.create_task(self._pump(from_server, to_client, _OF_ANSWERS)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            to_client.close()
            to_server.close()

    def reset(self) -> None:
        for _, writer in (self._client, self._server):
            _reset(writer)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, own: frozenset[Kind]
    ) -> None:
        """Hand on one direction until it, or the fault, ends the connection."""
        passed, ends = 0, False
        with suppress(ConnectionError):
            while not ends and (chunk := await reader.read(_CHUNK)):
                room = self._fault.after - passed
                passed += len(chunk)
                if self._fault.kind in own and len(chunk) > room and not self._over:
                    chunk, ends = await self._strike(chunk, room)
                if self._fault.kind is Kind.LATENCY:
                    await self._late()
                if not self._silent:
                    writer.write(chunk)
                    await writer.drain()

    async def _strike(self, chunk: bytes, room: int) -> tuple[bytes, bool]:
        """What of `chunk` goes on, and whether the connection ends there."""
        self._count()
        match self._fault.kind:
            case Kind.STALL:
                await asyncio.sleep(self._fault.seconds)
                return chunk, False
            case Kind.HALF_OPEN:
                self._silent = True
                return chunk, False
            case Kind.RESET:
                self.reset()
                return b"", True
            case Kind.DROP_ANSWER:
                return b"", True
            case _:
                return chunk[:room], True

    async def _late(self) -> None:
        if not self._over:
            self._count()
        await asyncio.sleep(self._fault.seconds)

    def _count(self) -> None:
        self._over = True
        self._struck[self._fault.kind] += 1


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
