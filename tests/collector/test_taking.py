"""Clients that do not take what they asked for: they are dropped, and slow ones are not."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from collector_process import CollectorProcess, collector
from live_feed import wait_until
from noon import NOON
from novacron_collector.api.export import MOST_AT_ONCE
from novacron_collector.taking import Taking
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch
from store_process import StoreProcess

SERIES, TIMES, PIECE = 28, 10_000, 1 << 18
METRIC = f"taking.{uuid4().hex}"
FROM, TO = (f"{at(seconds):%Y-%m-%dT%H:%M:%SZ}" for seconds in (NOON - TIMES, NOON))
TABLE = f"/v1/export?metric={METRIC}&from={FROM}&to={TO}&step=1s"


@pytest.fixture(scope="module")
def rows(store_process: StoreProcess) -> int:
    """Of a table that is more than sockets hold, and more than two pieces."""
    client = store_process.service()
    lines = [Line(METRIC, f"vm-{n:03d}", [(NOON - 60, 1.0)]) for n in range(SERIES)]
    write(client, batch(lines), METRIC, at(NOON))
    client.close()
    assert SERIES * TIMES > PIECE
    return SERIES * TIMES


@pytest.fixture(params=['stalled = "3s"'])
def strict(
    store_process: StoreProcess, rows: int, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[CollectorProcess, Path]]:
    """A collector that drops who takes nothing for so many seconds, and its log."""
    settings = f"[limits]\n{request.param}"
    with collector(store_process, tmp_path, settings) as process:
        yield process, tmp_path / "log"


def asked(process: CollectorProcess) -> socket.socket:
    """Of somebody who asked for the table, and has read nothing."""
    url = urlsplit(process.api)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.connect((url.hostname, url.port))
    sock.sendall(f"GET {TABLE}&format=csv HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    return sock


def read(sock: socket.socket, pause: float) -> bytes:
    """All that comes, a little at a time."""
    sock.settimeout(30)
    found = bytearray()
    while not found.endswith(b"0\r\n\r\n") and (piece := sock.recv(1 << 16)):
        found += piece
        time.sleep(pause)
    return bytes(found)


def status(process: CollectorProcess) -> int:
    """Of somebody who asks for a little of it."""
    return httpx.get(f"{process.api}{TABLE}&where=entity=vm-000", timeout=30).status_code


def stalled(process: CollectorProcess) -> int:
    return int(httpx.get(f"{process.api}/v1/status").json()["counters"]["connections_stalled"])


@pytest.mark.parametrize("strict", ['stalled = "30s"'], indirect=True)  # each has a place by then
def test_places_of_clients_that_read_nothing_are_free_again(
    strict: tuple[CollectorProcess, Path],
) -> None:
    process, log = strict
    with ExitStack() as open_:
        idle = [open_.enter_context(asked(process)) for _ in range(MOST_AT_ONCE)]
        for sock in idle:
            sock.settimeout(30)
            assert sock.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        wait_until(lambda: status(process) == 503)

        wait_until(lambda: status(process) == 200, 60)

        wait_until(lambda: stalled(process) == MOST_AT_ONCE)
        assert status(process) == 200
        left = [read(sock, 0) for sock in idle]
    assert all(one.startswith(b"HTTP/1.1 200") for one in left)
    assert not any(one.endswith(b"0\r\n\r\n") for one in left), "what was cut off looks whole"
    said = [line for line in log.read_text().splitlines() if "took nothing for 30 s" in line]
    assert len(said) == 1
    assert "'/v1/export'" in said[0]


def test_a_client_that_is_slow_and_steady_gets_all_of_it(
    strict: tuple[CollectorProcess, Path], rows: int
) -> None:
    process, _ = strict
    begun = time.monotonic()

    with asked(process) as sock:
        text = read(sock, 0.025)

    assert text.endswith(b"0\r\n\r\n")
    assert text.count(METRIC.encode()) == rows
    assert time.monotonic() - begun > 6, "it was not slow"
    assert stalled(process) == 0


@pytest.mark.parametrize("strict", ['stalled = "3s"\nsend_time = "5s"'], indirect=True)
def test_a_client_that_takes_too_long_for_all_of_it_is_dropped(
    strict: tuple[CollectorProcess, Path],
) -> None:
    process, log = strict

    with asked(process) as sock:
        text = read(sock, 0.05)

    assert not text.endswith(b"0\r\n\r\n")
    assert stalled(process) == 1
    assert "did not take all of it in 5 s" in log.read_text()


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
    strict: tuple[CollectorProcess, Path],
) -> None:
    process, _ = strict
    for _ in range(2 * MOST_AT_ONCE):
        gone = asked(process)
        gone.recv(1)
        gone.close()
        wait_until(lambda: status(process) == 200)
    assert stalled(process) == 0
