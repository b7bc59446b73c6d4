"""One ASGI server: Dash mounted, and beside it the assets, the live path and the health check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import cast

from a2wsgi import WSGIMiddleware
from dash import Dash
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from novacron_ui.app import ASSETS, script_hashes
from novacron_ui.guard import Guard
from novacron_ui.live.endpoint import endpoint
from novacron_ui.live.relay import Relay

WORKERS = 8  # threads that run Dash's callbacks; sockets need none


def create_server(dash: Dash, relay: Relay, *, allowed_hosts: tuple[str, ...] = ()) -> Starlette:
    guard = Middleware(Guard, allowed_hosts=allowed_hosts, script_hashes=script_hashes(dash))
    return Starlette(
        routes=[
            Route("/healthz", _healthz),
            WebSocketRoute("/ws", endpoint(relay)),
            Mount("/assets", StaticFiles(directory=ASSETS)),
            Mount("/", cast(ASGIApp, WSGIMiddleware(dash.server, workers=WORKERS))),
        ],
        middleware=[guard],
        lifespan=_relaying(relay),
    )


def _relaying(relay: Relay) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(relay.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    return lifespan


async def _healthz(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")
