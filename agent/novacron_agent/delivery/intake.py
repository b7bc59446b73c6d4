"""What was just measured, in memory until it is in the spool; bounded, as a disk may hang."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable

from novacron_agent.delivery.batch import Batch, Dropped, Gap, uuid7
from novacron_agent.delivery.counts import DeliveryCounts
from novacron_agent.otlp import Request

LIMIT_BYTES = 8 * 2**20
_HANGS_S = 5.0


class Intake:
    """`offer` never waits for a disk. While the writer gets nothing written, the sender takes from
    here."""

    def __init__(self, counts: DeliveryCounts, limit_bytes: int = LIMIT_BYTES) -> None:
        self._counts, self._limit = counts, limit_bytes
        self._changed = threading.Condition()
        self._waiting: deque[Request] = deque()
        self._writing: list[Request] = []
        self._writing_since = 0.0
        self._failing = False
        self._lost: dict[Dropped, Gap] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_stuck(self) -> bool:
        """Nothing gets written: the last attempt failed, or takes too long."""
        hangs = self._writing and time.monotonic() - self._writing_since > _HANGS_S
        return self._failing or bool(hangs)

    def offer(self, request: Request) -> None:
        with self._changed:
            self._waiting.append(request)
            self._drop()
            self._changed.notify_all()

    def close(self) -> None:
        """The writer does not wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # -- the writer's ----------------------------------------------------------------------------

    def begin(self) -> tuple[list[Request], list[Gap]] | None:
        """All that waits, waiting for something; None when it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            self._writing, self._writing_since = list(self._waiting), time.monotonic()
            return self._writing, list(self._lost.values())

    def written(self, lost: Iterable[Gap]) -> None:
        """What `begin` gave is on disk."""
        with self._changed:
            done = {id(request) for request in self._writing}
            self._waiting = deque(r for r in self._waiting if id(r) not in done)
            for gap in lost:
                if self._lost.get(gap.reason) == gap:
                    del self._lost[gap.reason]
            self._writing, self._failing = [], False

    def not_written(self) -> None:
        with self._changed:
            self._writing, self._failing = [], True
            self._drop()

    # -- the sender's, while the writer is stuck -------------------------------------------------

    def take(self, *, newest: bool) -> Batch | None:
        with self._changed:
            if not self._waiting:
                return None
            request = self._waiting.pop() if newest else self._waiting.popleft()
        now = time.time_ns()
        return Batch(
            *(-1, uuid7(now), request.body, request.points),
            *(request.first_ns, request.last_ns, now),
        )

    def ack(self, batch: Batch) -> None:
        """It is gone already."""

    def let_go(self, batch: Batch) -> None:
        self._give_back(Request(batch.body, batch.points, batch.first_ns, batch.last_ns))

    def split(self, batch: Batch, halves: tuple[Request, Request]) -> None:
        for half in reversed(halves):
            self._give_back(half)

    def bury(self, batch: Batch, reason: str) -> None:
        with self._changed:
            self._lose(Gap(Dropped.REFUSED, batch.first_ns, batch.last_ns, batch.points))

    def _give_back(self, request: Request) -> None:
        with self._changed:
            self._waiting.appendleft(request)
            self._drop()

    def _drop(self) -> None:
        """The oldest goes, but nothing that may be on disk already."""
        held = {id(request) for request in self._writing}
        while sum(len(request.body) for request in self._waiting) > self._limit:
            oldest = next((r for r in self._waiting if id(r) not in held), None)
            if oldest is None:
                return
            self._waiting.remove(oldest)
            self._lose(Gap(Dropped.MEMORY, oldest.first_ns, oldest.last_ns, oldest.points))

    def _lose(self, gap: Gap) -> None:
        before = self._lost.get(gap.reason)
        self._lost[gap.reason] = gap if before is None else before + gap
        self._counts.dropped(gap.reason, gap.points)
