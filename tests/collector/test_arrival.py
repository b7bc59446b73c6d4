"""Requests to the API whose bodies do not come: over sockets, with more of them than there are
threads."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from starlette.types import Message, Receive, Scope, Send

from collector_program import collector_program
from novacron_collector.api.arrival import Arrival

HEAD = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


def test_who_sends_no_body_keeps_nobody_from_an_answer(tmp_path: Path) -> None:
    with collector_program(tmp_path / "collector") as collector, ExitStack() as peers:
        where = urlsplit(collector.api)
        for _ in range(20):
            peer = socket.create_connection((where.hostname, where.port), timeout=10)
            peers.enter_context(peer)
            peer.sendall(HEAD % 9)
        began = time.monotonic()
        assert httpx.get(f"{collector.api}/healthz", timeout=10).status_code == 200
        login = {"name": "ann", "password": "a wrong password"}
        answer = httpx.post(f"{collector.api}/v1/sessions", json=login, timeout=10)
        assert answer.status_code == 401  # it was looked at
        assert time.monotonic() - began < 10

        large = peers.enter_context(
            socket.create_connection((where.hostname, where.port), timeout=10)
        )
        large.sendall(HEAD % (1024**2 + 1))
        told = b""
        while part := large.recv(4096):  # to its end: the connection is closed
            told += part
        assert told.startswith(b"HTTP/1.1 413 ")
        assert b"the request is more than 1048576 bytes" in told


def answered(parts: list[bytes], *, ends: bool) -> tuple[int, bytes]:
    """The status, and the body that the app behind it saw."""
    seen, sent = [], []
    more = [*parts]

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        if not more:
            await asyncio.Event().wait()
        body = more.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(more) or not ends}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    asyncio.run(Arrival(app, 10, seconds=0.05)(scope, receive, send))
    assert all(not message["more_body"] for message in seen)
    return sent[0]["status"], b"".join(message["body"] for message in seen)


def test_a_body_in_pieces_is_handed_over_as_one() -> None:
    assert answered([b"abc", b"de", b""], ends=True) == (200, b"abcde")
    assert answered([b""], ends=True) == (200, b"")


def test_a_body_that_is_too_long_or_too_slow_is_not_handed_over() -> None:
    assert answered([b"abcdef", b"ghijkl"], ends=True) == (413, b"")
    assert answered([b"abc"], ends=False) == (408, b"")
