"""What one client may take of the server."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from live_feed import wait_until
from novacron_ui.api.answers import answering, read_json
from novacron_ui.cli import KEEP_ALIVE_S, MAX_CONNECTIONS, MAX_HEAD_BYTES


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def answer_to(url: str, *pieces: bytes) -> bytes:
    """All that comes until the server closes the connection."""
    with socket.create_connection(address(url), timeout=30) as client:
        for piece in pieces:
            client.sendall(piece)
        said = b""
        while data := client.recv(65536):
            said += data
    return said


def test_a_body_that_does_not_arrive_is_not_waited_for() -> None:
    async def view(request: Request) -> Response:
        await read_json(request, 100, within_s=0.01)
        return Response()

    async def sent() -> list[Any]:
        pieces = iter([{"type": "http.request", "body": b"{", "more_body": True}])
        said: list[Any] = []

        async def receive() -> Any:
            return next(pieces, None) or await asyncio.Event().wait()

        async def send(message: Any) -> None:
            said.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }
        app = Starlette(routes=[Route("/", answering(view), methods=["POST"])])
        await app(scope, receive, send)
        return said

    start, body = asyncio.run(sent())
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert b"did not arrive within" in body["body"]


def test_a_login_that_is_not_sent_to_its_end_is_dropped(ordering: str) -> None:
    head = (
        b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n"
    )
    assert b" 408 " in answer_to(ordering, head, b"{").splitlines()[0]


def test_a_body_that_is_too_large_ends_the_connection(ordering: str) -> None:
    head = (
        b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000000000\r\n\r\n"
    )
    assert b" 413 " in answer_to(ordering, head, b" " * 10_000).splitlines()[0]


def test_a_head_without_end_is_refused(ordering: str) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * MAX_HEAD_BYTES
    assert b" 400 " in answer_to(ordering, head).splitlines()[0]


def test_an_idle_connection_is_closed(ordering: str) -> None:
    said = answer_to(ordering, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert said.endswith(b"ok\n"), f"closed after {KEEP_ALIVE_S} s"


def test_more_connections_than_there_is_room_for_are_told_so(ordering: str) -> None:
    def status() -> int:
        return httpx.get(f"{ordering}/healthz").status_code

    with ExitStack() as held:
        for _ in range(MAX_CONNECTIONS):
            held.enter_context(socket.create_connection(address(ordering)))
        wait_until(lambda: status() == 503)
    wait_until(lambda: status() == 200)
