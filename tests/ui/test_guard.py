"""Who may talk to the server, and what its pages may load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from fleet_samples import SampleFleet
from novacron_ui.guard import LOOPBACK_NAMES, Guard


async def hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def ask(**headers: str) -> httpx.Response:
    app = Starlette(routes=[Route("/", hello, methods=["POST"])])
    guard = Guard(app, names={*LOOPBACK_NAMES, "nova.example"}, script_hashes=("'sha256-x'",))

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post("/", headers=headers)

    return asyncio.run(post())


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8050", "localhost:9999", "[::1]:8050", "nova.example", "LOCALHOST"]
)
def test_our_own_names_are_answered(host: str) -> None:
    assert ask(host=host).text == "hello"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "a b"])
def test_a_name_that_was_rebound_to_us_is_refused(host: str) -> None:
    answer = ask(host=host)
    assert answer.status_code == 403
    assert "allowed_hosts" in answer.text


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:3000", "null", "http://[bad"]
)
def test_another_sites_requests_are_refused(origin: str) -> None:
    assert ask(host="127.0.0.1:8050", origin=origin).status_code == 403


def test_our_own_pages_requests_are_answered() -> None:
    assert ask(host="127.0.0.1:8050", origin="http://127.0.0.1:8050").status_code == 200


@pytest.mark.parametrize("headers", [{"host": "localhost"}, {"host": "evil.example"}])
def test_pages_may_load_only_from_here(headers: Mapping[str, str]) -> None:
    answer = ask(**headers)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self' 'sha256-x';" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_another_sites_socket_is_refused(ui: str, fleet: SampleFleet) -> None:
    url = f"ws://{urlsplit(ui).netloc}/ws"

    async def first_frame(origin: str) -> str:
        async with connect(url, origin=origin, proxy=None) as socket:  # type: ignore[arg-type]
            return str(await socket.recv())

    assert "status" in json.loads(asyncio.run(first_frame(ui)))
    with pytest.raises(InvalidStatus):
        asyncio.run(first_frame("http://evil.example"))
