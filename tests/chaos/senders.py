"""Senders that keep a request until it is acknowledged, as an honest OTLP sender does."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from chaos.accounts import Account
from chaos.messages import Point, Timeline, body
from chaos.transports import Transport, Verdict

_KEEPS_BACK = 0.1  # a request overtaken by later ones
_REPEATS = 0.05  # sent once more although it was acknowledged
_REPACKS = 0.05  # acknowledged points sent once more, in another request


@dataclass
class Sender:
    """Sends each request to its targets in turn: to the next one whenever one fails.

    `gives_up`: how probably a failure is its last word about a request, which may or may not be
    stored then.
    """

    account: Account
    timeline: Timeline
    targets: Sequence[Transport]
    chance: random.Random
    points: int = 20
    pause_s: float = 0.1
    gives_up: float = 0.01
    now: Callable[[], float] = time.time
    _kept_back: list[list[Point]] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        """Send new points until `stop`, then what was kept back."""
        while not stop.is_set():
            made = self.timeline.points(self.points, self.now())
            self.account.send(made)
            if self.chance.random() < _KEEPS_BACK:
                self._kept_back.append(made)
            else:
                await self._send(made)
            if self._kept_back and self.chance.random() < _KEEPS_BACK:
                await self._send(self._kept_back.pop(0))
            await asyncio.sleep(self.chance.uniform(0, 2 * self.pause_s))
        for late in self._kept_back:
            await self._send(late)
        for target in self.targets:
            await target.close()

    async def _send(self, points: list[Point]) -> None:
        if self.chance.random() < 0.2:
            self.chance.shuffle(points)
        request = body(self.account.entity, points)
        if not await self._deliver(request):
            return
        self.account.ack(points)
        if self.chance.random() < _REPEATS:
            self.account.counts["repeated after the answer"] += await self._deliver(request)
        if self.chance.random() < _REPACKS:
            half = body(self.account.entity, points[: len(points) // 2])
            self.account.counts["sent again in another request"] += await self._deliver(half)

    async def _deliver(self, request: bytes) -> bool:
        """Send the same bytes until they are acknowledged: whether they were, in the end."""
        for target in cycle(self.targets):
            answer = await target.send(request)
            if answer.verdict is Verdict.STORED:
                return True
            if answer.verdict is Verdict.WRONG:
                self.account.wrong.append(answer.text)
                return False
            self.account.counts["retries"] += 1
            self.account.counts[answer.verdict.value] += 1
            if self.chance.random() < self.gives_up:
                self.account.counts["given up"] += 1
                return False
            await asyncio.sleep(self.chance.uniform(0.02, 0.4))
        raise ValueError("no targets")
