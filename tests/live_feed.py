"""The collector as the UI sees it: a live feed and a status, spoken over real sockets."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


@dataclass(eq=False)
class LiveFeed:
    """`push` sends points to whoever subscribed; `stop` and `start` are an outage."""

    port: int
    notices: list[dict[str, str]] = field(default_factory=list)
    subscriptions: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0
    _clients: set[WebSocket] = field(default_factory=set)
    _seq: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        app = Starlette(routes=self.routes())
        config = uvicorn.Config(
            app,
            port=self.port,
            log_level="error",
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        wait_until(lambda: self._server.started)

    def routes(self) -> Sequence[BaseRoute]:
        """Anybody may read, and nobody ordered anything."""
        return [
            *self.feed_routes(),
            Route("/v1/self", _anonymous),
            Route("/v1/commands", _nothing),
        ]

    def feed_routes(self) -> Sequence[BaseRoute]:
        return [WebSocketRoute("/v1/live", self._live), Route("/v1/status", self._status)]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def push(self, *points: Sequence[Any]) -> None:
        asyncio.run_coroutine_threadsafe(self._send(points), self._loop).result(5)

    def subscribed(self, metric: str) -> bool:
        return bool(self.subscriptions) and metric in self.subscriptions[-1]["metrics"]

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._server.serve())

    async def _live(self, client: WebSocket) -> None:
        await client.accept()
        self.connections += 1
        self._clients.add(client)
        try:
            while True:
                self.subscriptions.append((await client.receive_json())["subscribe"])
        except WebSocketDisconnect:
            self._clients.discard(client)

    async def _send(self, points: Sequence[Sequence[Any]]) -> None:
        self._seq += 1
        frame = {"seq": self._seq, "time": now_ms(), "dropped": 0, "points": points}
        for client in list(self._clients):
            await client.send_json(frame)

    async def _status(self, _request: Request) -> JSONResponse:
        return JSONResponse({"notices": self.notices})


async def _anonymous(_request: Request) -> JSONResponse:
    grants = [{"role": "viewer", "scope": "fleet"}]
    return JSONResponse({"kind": "anonymous", "name": "anonymous", "grants": grants, "limit": None})


async def _nothing(_request: Request) -> JSONResponse:
    return JSONResponse({"commands": [], "total": 0, "limit": 5, "offset": 0})


def now_ms() -> int:
    return round(time.time() * 1000)


def wait_until(is_true: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
