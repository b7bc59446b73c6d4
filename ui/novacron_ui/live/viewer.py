"""One browser on the live path: what it watches and what still has to be sent to it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from novacron_ui.live.topics import Point, Topic, select

QUEUE_FRAMES = 64  # about ten seconds of a busy fleet; a browser slower than that misses frames


@dataclass(eq=False, slots=True)
class Viewer:
    """A bounded queue that drops its oldest frame: a slow browser slows nobody else.

    `seq` counts the frames made for this browser, so a gap in what it receives is visible to it,
    and `dropped` says how many there were.
    """

    topics: tuple[Topic, ...] = ()
    _frames: deque[bytes] = field(default_factory=lambda: deque(maxlen=QUEUE_FRAMES))
    _waiting: asyncio.Event = field(default_factory=asyncio.Event)
    _seq: int = 0
    _dropped: int = 0

    def offer(self, points: Sequence[Point], time: int) -> None:
        """Queue those of the points that this browser watches."""
        wanted = select(points, self.topics)
        if wanted:
            self.put({"time": time, "points": wanted})

    def put(self, frame: dict[str, Any]) -> None:
        self._seq += 1
        if len(self._frames) == self._frames.maxlen:
            self._dropped += 1
        header = {"seq": self._seq, "dropped": self._dropped}
        self._frames.append(orjson.dumps(header | frame))
        self._waiting.set()

    async def next_frame(self) -> str:
        while not self._frames:
            self._waiting.clear()
            await self._waiting.wait()
        return self._frames.popleft().decode()
