"""What was just measured, in memory until it is in the spool; bounded, as a disk may hang."""

from __future__ import annotations

import threading
import time
import uuid
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
        self._waiting: deque[Batch] = deque()  # each keeps its id, however often it is taken
        self._writing: set[uuid.UUID] = set()
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
            self._waiting.append(_batch(request))
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
            self._writing = {batch.id for batch in self._waiting}
            self._writing_since = time.monotonic()
            return [_request(batch) for batch in self._waiting], list(self._lost.values())

    def written(self, lost: Iterable[Gap]) -> None:
        """What `begin` gave is on disk."""
        with self._changed:
            self._waiting = deque(b for b in self._waiting if b.id not in self._writing)
            for gap in lost:
                if self._lost.get(gap.reason) == gap:
                    del self._lost[gap.reason]
            self._writing, self._failing = set(), False

    def not_written(self) -> None:
        with self._changed:
            self._writing, self._failing = set(), True
            self._drop()

    # -- the sender's, while the writer is stuck -------------------------------------------------

    def take(self, *, newest: bool) -> Batch | None:
        with self._changed:
            if not self._waiting:
                return None
            return self._waiting.pop() if newest else self._waiting.popleft()

    def ack(self, batch: Batch) -> None:
        """It is gone already."""

    def let_go(self, batch: Batch) -> None:
        self._give_back(batch)

    def split(self, batch: Batch, halves: tuple[Request, Request]) -> None:
        for half in reversed(halves):
            self._give_back(_batch(half))

    def bury(self, batch: Batch, reason: str) -> None:
        with self._changed:
            self._lose(Gap(Dropped.REFUSED, batch.first_ns, batch.last_ns, batch.points))

    def _give_back(self, batch: Batch) -> None:
        with self._changed:
            self._waiting.appendleft(batch)
            self._drop()

    def _drop(self) -> None:
        """The oldest goes, but nothing that may be on disk already."""
        while sum(len(batch.body) for batch in self._waiting) > self._limit:
            oldest = next((b for b in self._waiting if b.id not in self._writing), None)
            if oldest is None:
                return
            self._waiting.remove(oldest)
            self._lose(Gap(Dropped.MEMORY, oldest.first_ns, oldest.last_ns, oldest.points))

    def _lose(self, gap: Gap) -> None:
        before = self._lost.get(gap.reason)
        self._lost[gap.reason] = gap if before is None else before + gap
        self._counts.dropped(gap.reason, gap.points)


def _batch(request: Request) -> Batch:
    """It has no place in a queue on disk."""
    now = time.time_ns()
    return Batch(
        *(-1, uuid7(now), request.body, request.points),
        *(request.first_ns, request.last_ns, now),
    )


def _request(batch: Batch) -> Request:
    return Request(batch.body, batch.points, batch.first_ns, batch.last_ns)
