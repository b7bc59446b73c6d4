"""One ASGI server: Dash mounted, and beside it the assets, the live path and the health check."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
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
from novacron_ui.access.gate import Gate
from novacron_ui.access.pages import LoginPage
from novacron_ui.access.visitors import Visitors
from novacron_ui.api import login as log_in
from novacron_ui.api import operations
from novacron_ui.app import ASSETS, Pages, create_app, login_template, script_hashes
from novacron_ui.certificate import Certificate
from novacron_ui.collector import Collector
from novacron_ui.guard import LOOPBACK_NAMES, Guard
from novacron_ui.live.endpoint import endpoint
from novacron_ui.live.relay import Relay

WORKERS = 8  # threads that run Dash's callbacks; sockets need none


@dataclass(frozen=True)
class Door:
    """Who is let in, by which names: a remote client can send those of loopback, too, so they are
    ours only where nobody comes from elsewhere, or `allowed_hosts` has them."""

    visitors: Visitors
    allowed_hosts: tuple[str, ...] = ()
    everybody_logs_in: bool = True

    @property
    def names(self) -> frozenset[str]:
        further = frozenset(self.allowed_hosts)
        return further if self.everybody_logs_in else further | LOOPBACK_NAMES


def create_server(
    pages: Pages, relay: Relay, door: Door, certificate: Certificate | None = None
) -> Starlette:
    dash = create_app(pages)
    login = LoginPage(login_template())
    guard = Middleware(Guard, names=door.names, script_hashes=script_hashes(dash))
    gate = Middleware(Gate, visitors=door.visitors, page=login, must_log_in=door.everybody_logs_in)
    collector = door.visitors.collector
    return Starlette(
        routes=[
            Route("/healthz", _healthz),
            Route("/login", login.alone),
            *log_in.routes(door.visitors),
            *operations.routes(collector),
            WebSocketRoute("/ws", endpoint(relay)),
            Mount("/assets", StaticFiles(directory=ASSETS)),
            Mount("/", cast(ASGIApp, WSGIMiddleware(dash.server, workers=WORKERS))),
        ],
        middleware=[guard, gate],
        lifespan=_lifespan(pages, dash, relay, collector, certificate),
    )


def _lifespan(
    pages: Pages, dash: Dash, relay: Relay, collector: Collector, certificate: Certificate | None
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        warm.load_libraries()
        loops = [relay.run(), warm.keep_ready(pages.fleet.snapshot)]
        loops += [certificate.follow()] if certificate else []
        tasks = [asyncio.create_task(loop) for loop in loops]
        await warm.visit(dash.server)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await collector.close()

    return lifespan


async def _healthz(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")
