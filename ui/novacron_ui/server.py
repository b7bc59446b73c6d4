"""One ASGI server: Dash mounted, and beside it the assets, the live path and the health check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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

from novacron_ui import warm
from novacron_ui.app import ASSETS, Pages, create_app, script_hashes
from novacron_ui.guard import Guard
from novacron_ui.live.endpoint import endpoint
from novacron_ui.live.relay import Relay

WORKERS = 8  # threads that run Dash's callbacks; sockets need none


def create_server(pages: Pages, relay: Relay, *, allowed_hosts: tuple[str, ...] = ()) -> Starlette:
    dash = create_app(pages)
    guard = Middleware(Guard, allowed_hosts=allowed_hosts, script_hashes=script_hashes(dash))
    return Starlette(
        routes=[
            Route("/healthz", _healthz),
            WebSocketRoute("/ws", endpoint(relay)),
            Mount("/assets", StaticFiles(directory=ASSETS)),
            Mount("/", cast(ASGIApp, WSGIMiddleware(dash.server, workers=WORKERS))),
        ],
        middleware=[guard],
        lifespan=_lifespan(pages, dash, relay),
    )


def _lifespan(
    pages: Pages, dash: Dash, relay: Relay
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        loops = (relay.run(), warm.keep_ready(pages.fleet.snapshot))
        tasks = [asyncio.create_task(loop) for loop in loops]
        await warm.visit(dash.server)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return lifespan


async def _healthz(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")
