"""A destination's queue on disk: bounded by size, by age and by the disk, the oldest goes first.

One thread offers, another takes. Nothing that happens here ever reaches a sender: a queue that
cannot take something counts it and says so.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from novacron_collector.forward.parcel import Contents, Item, Parcel, contents, unpack
from novacron_collector.forward.state import Lost
from novacron_collector.wal.log import Log, LogFull, LogState
from novacron_collector.wal.segment import Segment
from novacron_contract.errors import NovaCronError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """`reserve`: bytes of the disk that are not the queue's: it gives way when there are fewer."""

    size: float
    age: float
    reserve: float = 0.0


class Taken:
    """A segment in the sender's hand. `answered` requests of it are done with."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.answered = 0
        self.damaged = 0

    def items(self) -> Iterator[Item]:
        """
        Raises:
            OSError: the disk does not give it back.
        """
        found = self.segment.read()
        self.damaged = found.damaged
        for frame in found.frames:
            yield from unpack(frame)


class Queue:
    def __init__(
        self, name: str, wal: Log, limits: QueueLimits, now: Callable[[], float] = time.time
    ) -> None:
        self._name = name
        self._log = wal
        self._limits = limits
        self._now = now
        self._guard = threading.RLock()  # removing: by age and size, and when it was delivered
        self._taken: Taken | None = None
        self._failing = False
        self.lost = Lost()

    # -- by the thread that offers ---------------------------------------------------------------

    def offer(self, parcel: Parcel) -> None:
        """On disk when this returns, or counted as lost."""
        try:
            self._expire()
            if not self._made_room(parcel.size):
                raise LogFull("there is no room for it on the disk")
            self._log.append(parcel.meta, [parcel.data], parcel.size)
        except (OSError, NovaCronError) as err:
            self._lose([contents(parcel.meta)])
            if not self._failing:
                log.error("forwarding to %s: its queue takes nothing: %s", self._name, err)
            self._failing = True
        else:
            if self._failing:
                log.info("forwarding to %s: its queue takes requests again", self._name)
            self._failing = False

    def _expire(self) -> None:
        self._log.seal_older(self._limits.age / 16)
        limit = self._now() - self._limits.age
        with self._guard:
            for segment in self._log.waiting():
                if segment.since >= limit:
                    break
                self._drop(segment, "it waited too long")

    def _made_room(self, size: int) -> bool:
        """Drop the oldest until there is room, in the queue and on the disk."""
        if size > self._limits.size:
            return False
        room = os.statvfs(self._log.folder)
        free = room.f_bavail * room.f_frsize - self._limits.reserve
        excess = self._log.state().bytes + size - self._limits.size
        missing = max(excess, size - free)
        why = "the queue is full" if excess > 0 else "the disk is full"
        with self._guard:
            for segment in self._log.waiting():
                if missing <= 0:
                    break
                missing -= segment.size
                self._drop(segment, why)
        return missing <= 0

    def _drop(self, segment: Segment, why: str) -> None:
        done = 0
        if self._taken is not None and self._taken.segment is segment:
            done, self._taken = self._taken.answered, None
        try:
            found = [contents(meta) for meta in segment.metas()]
        except OSError:  # it is gone either way
            found = []
        before = self.lost
        self._lose(found, done)
        self._log.remove(segment)
        if not before.requests:
            log.warning("forwarding to %s: the oldest is dropped, because %s", self._name, why)

    def _lose(self, found: list[Contents], done: int = 0) -> None:
        points = [count for one in found for count in one.points][done:]
        if points:
            times = [one.at for one in found]
            with self._guard:
                self.lost = self.lost.plus(len(points), sum(points), min(times), max(times))

    # -- by the thread that takes ----------------------------------------------------------------

    def take(self, timeout: float) -> Taken | None:
        """The oldest segment; None when nothing waits after `timeout` seconds."""
        self.keep_bounds()
        segment = self._log.oldest(timeout)
        with self._guard:
            if segment is None or segment not in self._log.waiting():
                return None
            self._taken = Taken(segment)
            return self._taken

    def holds(self, taken: Taken) -> bool:
        """Is it still wanted, or was it dropped meanwhile?"""
        return self._taken is taken

    def keep_bounds(self) -> None:
        """As `offer` does: time passes and the disk fills while nothing is offered, too."""
        try:
            self._expire()
            self._made_room(0)
        except OSError:  # of a disk that fails: told when it is needed
            log.debug("the disk of the queue of %s fails", self._name)

    def finish(self, taken: Taken) -> None:
        """All of it that can be read was answered."""
        with self._guard:
            if not self.holds(taken):
                return
            self._taken = None
            if taken.damaged:
                self._log.set_aside(taken.segment, f"{taken.damaged} places in it are damaged")
            else:
                self._log.remove(taken.segment)

    def give_up(self, taken: Taken, why: str) -> None:
        """It cannot be read: it is kept for a person to look at."""
        with self._guard:
            if not self.holds(taken):
                return
            self._taken = None
            try:
                self._log.set_aside(taken.segment, why)
            except FileNotFoundError:  # somebody took it away
                self._log.remove(taken.segment)

    def seal_now(self) -> None:
        self._log.seal_now()

    def close(self) -> None:
        self._log.close()

    # -- by anybody ------------------------------------------------------------------------------

    def state(self) -> LogState:
        return self._log.state()
