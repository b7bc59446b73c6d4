"""Clients that do not take what they asked for: they are dropped, and slow ones are not."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from collector_process import CollectorProcess, collector
from live_feed import wait_until
from novacron_collector.api.export import MOST_AT_ONCE
from novacron_collector.taking import Taking
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch
from store_process import StoreProcess

SERIES, TIMES, PIECE = 28, 10_000, 1 << 18
ROWS = SERIES * TIMES
METRIC = f"taking.{uuid4().hex}"


@pytest.fixture(scope="module")
def table(store_process: StoreProcess) -> str:
    """The path of one that is more than sockets hold, and more than two pieces."""
    client, now = store_process.service(), int(time.time())  # what is older may be late here
    lines = [Line(METRIC, f"vm-{n:03d}", [(now - 1, 1.0)]) for n in range(SERIES)]
    write(client, batch(lines), METRIC, at(now))
    client.close()
    assert ROWS > PIECE
    begin, end = (f"{at(seconds):%Y-%m-%dT%H:%M:%SZ}" for seconds in (now - TIMES, now))
    return f"/v1/export?metric={METRIC}&from={begin}&to={end}&step=1s"


@dataclass(frozen=True)
class Strict:
    """A collector that drops who takes nothing for so many seconds, its log, and the table."""

    process: CollectorProcess
    log: Path
    table: str

    def asked(self) -> socket.socket:
        """Of somebody who asked for the table, and has read nothing."""
        url = urlsplit(self.process.api)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.connect((url.hostname, url.port))
        sock.sendall(f"GET {self.table}&format=csv HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return sock

    def status(self) -> int:
        """Of somebody who asks for a little of it."""
        url = f"{self.process.api}{self.table}&where=entity=vm-000"
        return httpx.get(url, timeout=30).status_code

    def stalled(self) -> int:
        told = httpx.get(f"{self.process.api}/v1/status").json()
        return int(told["counters"]["connections_stalled"])


@pytest.fixture(params=['stalled = "3s"'])
def strict(
    store_process: StoreProcess, table: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Strict]:
    settings = f"[limits]\n{request.param}"
    with collector(store_process, tmp_path, settings) as process:
        yield Strict(process, tmp_path / "log", table)


def read(sock: socket.socket, pause: float) -> bytes:
    """All that comes, a little at a time."""
    sock.settimeout(30)
    found = bytearray()
    while not found.endswith(b"0\r\n\r\n") and (piece := sock.recv(1 << 16)):
        found += piece
        time.sleep(pause)
    return bytes(found)


@pytest.mark.parametrize("strict", ['stalled = "10s"'], indirect=True)  # each has a place by then
def test_places_of_clients_that_read_nothing_are_free_again(
    strict: Strict,
) -> None:
    with ExitStack() as open_:
        idle = [open_.enter_context(strict.asked()) for _ in range(MOST_AT_ONCE)]
        for sock in idle:
            sock.settimeout(30)
            assert sock.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        wait_until(lambda: strict.status() == 503)

        wait_until(lambda: strict.status() == 200, 60)

        wait_until(lambda: strict.stalled() == MOST_AT_ONCE)
        assert strict.status() == 200
        left = [read(sock, 0) for sock in idle]
    assert all(one.startswith(b"HTTP/1.1 200") for one in left)
    assert not any(one.endswith(b"0\r\n\r\n") for one in left), "what was cut off looks whole"
    said = [line for line in strict.log.read_text().splitlines() if "took nothing for 10 s" in line]
    assert len(said) == 1
    assert "'/v1/export'" in said[0]


def test_a_client_that_is_slow_and_steady_gets_all_of_it(strict: Strict) -> None:
    begun = time.monotonic()

    with strict.asked() as sock:
        text = read(sock, 0.025)

    assert text.endswith(b"0\r\n\r\n")
    assert text.count(METRIC.encode()) == ROWS
    assert time.monotonic() - begun > 6, "it was not slow"
    assert strict.stalled() == 0


@pytest.mark.parametrize("strict", ['stalled = "3s"\nsend_time = "5s"'], indirect=True)
def test_a_client_that_takes_too_long_for_all_of_it_is_dropped(
    strict: Strict,
) -> None:

    with strict.asked() as sock:
        text = read(sock, 0.05)

    assert not text.endswith(b"0\r\n\r\n")
    assert strict.stalled() == 1
    assert "did not take all of it in 5 s" in strict.log.read_text()


def test_a_client_that_never_pauses_for_long_has_no_more_time() -> None:
    """What it takes at a time is all that waits, so that each pause begins anew."""

    async def given_up() -> str:
        loop = asyncio.get_running_loop()
        why: asyncio.Future[str] = loop.create_future()
        server = await loop.create_server(lambda: Endless(why), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            while not why.done():
                await reader.read(1 << 22)
                await asyncio.sleep(0.02)
                assert loop.time() < begun + 10, "it was never given up"
            return why.result()
        finally:
            writer.close()
            server.close()

    begun = time.monotonic()
    assert asyncio.run(given_up()) == "did not take all of it in 0.5 s"
    assert time.monotonic() - begun > 0.5


class Endless(asyncio.Protocol):
    """An answer without an end."""

    def __init__(self, why: asyncio.Future[str]) -> None:
        self._why = why

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._taking = Taking(transport, 5, 0.5, self._give_up)
        self._send()

    def _send(self) -> None:
        self._flows = True
        while self._flows and not self._transport.is_closing():
            self._transport.write(bytes(1 << 20))

    def _give_up(self, why: str) -> None:
        self._why.set_result(why)
        self._transport.abort()

    def pause_writing(self) -> None:
        self._flows = False
        self._taking.waits()

    def resume_writing(self) -> None:
        self._taking.flows()
        self._send()


def test_a_client_that_goes_away_leaves_its_place_at_once(
    strict: Strict,
) -> None:
    for _ in range(2 * MOST_AT_ONCE):
        gone = strict.asked()
        gone.recv(1)
        gone.close()
        wait_until(lambda: strict.status() == 200)
    assert strict.stalled() == 0
