"""The relay: the collector's live feed in, every browser's share of it out."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from novacron_contract.errors import ConfigError
from novacron_ui.collector import NO_TOKEN, OwnToken
from novacron_ui.live.topics import Point, Topic
from novacron_ui.live.viewer import Viewer

log = logging.getLogger(__name__)

MAX_NEWEST = 250_000  # series whose newest value is kept for the next browser
MAX_FRAME_BYTES = 64 * 2**20
FIRST_DELAY_S, LONGEST_DELAY_S = 0.25, 10.0


@dataclass(eq=False)
class Relay:
    """`run()` for as long as the server lives; `join()` and `leave()` per browser."""

    url: str  # ws://…/v1/live
    token: OwnToken = NO_TOKEN
    trust: ssl.SSLContext | bool = True
    _viewers: set[Viewer] = field(default_factory=set)
    _newest: dict[str, dict[bytes, Point]] = field(default_factory=dict)  # by metric
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _connected: bool = False

    def join(self) -> Viewer:
        viewer = Viewer()
        self._viewers.add(viewer)
        viewer.put(self._status())
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        self._changed.set()

    def watch(self, viewer: Viewer, topics: tuple[Topic, ...]) -> None:
        """Replace what the browser watches; it is sent the newest known values at once."""
        viewer.topics = topics
        for metric in {name for topic in topics for name in topic.metrics}:
            known = list(self._newest.get(metric, {}).values())
            if known:
                viewer.offer(known, max(point[3] for point in known))
        self._changed.set()

    async def run(self) -> None:
        delay = FIRST_DELAY_S
        while True:
            try:
                async with self._upstream() as upstream:
                    delay = FIRST_DELAY_S
                    await self._follow(upstream)
            except (OSError, TimeoutError, WebSocketException, ConfigError) as err:
                if delay == FIRST_DELAY_S:
                    log.warning("live feed %s is away: %s%s", self.url, err, _advice(err))
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, LONGEST_DELAY_S)

    @asynccontextmanager
    async def _upstream(self) -> AsyncIterator[ClientConnection]:
        upstream_of = connect(
            self.url,
            max_size=MAX_FRAME_BYTES,
            proxy=None,
            additional_headers=self.token.headers(),
            ssl=self.trust if self.url.startswith("wss:") else None,
        )
        async with upstream_of as upstream:
            self._announce(connected=True)
            try:
                yield upstream
            finally:
                self._announce(connected=False)

    async def _follow(self, upstream: ClientConnection) -> None:
        self._changed.set()
        subscriber = asyncio.create_task(self._keep_subscribed(upstream))
        try:
            async for text in upstream:
                self._take(orjson.loads(text))
        finally:
            subscriber.cancel()
            with suppress(asyncio.CancelledError, WebSocketException):
                await subscriber

    async def _keep_subscribed(self, upstream: ClientConnection) -> None:
        """Ask the collector for all that any browser watches, whenever that changes."""
        asked: frozenset[str] | None = None
        while True:
            await self._changed.wait()
            self._changed.clear()
            metrics = self._watched()
            if metrics == asked:
                continue
            asked = metrics
            for unwatched in self._newest.keys() - metrics:
                del self._newest[unwatched]
            subscription = {"metrics": sorted(metrics), "entities": None}
            await upstream.send(orjson.dumps({"subscribe": subscription}).decode())

    def _watched(self) -> frozenset[str]:
        topics = [topic for viewer in self._viewers for topic in viewer.topics]
        return frozenset().union(*(topic.metrics for topic in topics))

    def _take(self, frame: dict[str, Any]) -> None:
        points: list[Point] = frame.get("points", [])
        for point in points:
            self._remember(point)
        for viewer in self._viewers:
            viewer.offer(points, frame["time"])

    def _remember(self, point: Point) -> None:
        series = self._newest.setdefault(point[0], {})
        key = orjson.dumps([point[1], point[2]], option=orjson.OPT_SORT_KEYS)
        if key in series or len(series) < MAX_NEWEST:
            series[key] = point

    def _announce(self, *, connected: bool) -> None:
        self._connected = connected
        log.info("live feed %s: %s", self.url, "connected" if connected else "lost")
        for viewer in self._viewers:
            viewer.put(self._status())

    def _status(self) -> dict[str, str]:
        return {"status": "live" if self._connected else "reconnecting"}


def _advice(err: Exception) -> str:
    if isinstance(err, InvalidStatus) and err.response.status_code in (401, 403):
        return ": set token_file under [collector], with an API token of a viewer"
    return ""
