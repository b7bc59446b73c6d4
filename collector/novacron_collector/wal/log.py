"""A folder of segments: one thread appends, another takes the oldest sealed one and removes it.

What was appended is on disk, whatever happens to this process. A sealed segment never changes, and
may be written to the store more than once: a sample is (series, time), and twice is once.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from novacron_collector.admission import Busy
from novacron_collector.own_metrics.histogram import SECONDS, Histogram
from novacron_collector.wal.segment import (
    OpenSegment,
    Segment,
    number_of,
    sealed,
    sync_folder,
)
from novacron_contract.errors import ConfigError, Unavailable

log = logging.getLogger(__name__)

_LOCK, _SET_ASIDE = "lock", "set-aside"
_SOON_S = 0.1  # what comes so soon after the first is written with it
_REMEMBERED_S = 10.0  # a problem, if nobody meets it again


class LogFull(Busy):
    """No room until the store has taken some of it."""


@dataclass(frozen=True, kw_only=True)
class LogLimits:
    """`size` and `keep_free` (of the disk) in bytes. A segment ends at `weight` or at `age`
    seconds, whichever is first: then it is worth a write to the store, or old enough. When none has
    ended for so long, the next one is soon old enough."""

    size: float
    keep_free: float
    weight: int
    age: float


@dataclass(frozen=True, slots=True)
class LogState:
    """`oldest_s`: how long the oldest of it waits. `set_aside`: damaged segments that are kept."""

    segments: int
    bytes: int
    oldest_s: float
    set_aside: int


class Log:
    """
    Raises:
        ConfigError: the folder cannot be used, or another process uses it.
    """

    def __init__(
        self, folder: Path, limits: LogLimits, now: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self._limits = limits
        self._now = now
        self._changed = threading.Condition()
        self._open: OpenSegment | None = None
        self._ended_at = float("-inf")  # the last one before, by the clock of `now`
        self._closing = False
        self._problem, self._problem_at = "", 0.0
        self.appends = Histogram(SECONDS)  # how long they took
        try:
            self._handle = _claimed(folder)
            self._sealed = deque(sealed(folder))
            self._count_set_aside = len(list((folder / _SET_ASIDE).iterdir()))
        except OSError as err:
            raise ConfigError(f"{folder}: cannot hold the write-ahead log: {err.strerror}") from err
        self._number = number_of(self._sealed[-1]) if self._sealed else 0
        self._bytes = sum(segment.size for segment in self._sealed)

    @property
    def problem(self) -> str:
        """Why the last append failed; forgotten after a while, as whoever asks before sending would
        otherwise never find out that there is room again."""
        return self._problem if time.monotonic() - self._problem_at < _REMEMBERED_S else ""

    @problem.setter
    def problem(self, text: str) -> None:
        self._problem, self._problem_at = text, time.monotonic()

    # -- by the thread that appends --------------------------------------------------------------

    def append(self, meta: bytes, data: Sequence[bytes | memoryview], weight: int) -> None:
        """On disk when this returns.

        Raises:
            LogFull: there is no room for it now.
            Unavailable: the disk failed.
        """
        size = len(meta) + sum(len(piece) for piece in data)
        started = time.monotonic()
        with self._changed:
            self.require_room(size)
            try:
                current = self._current()
                before = current.size
                current.append(meta, data, weight)
            except OSError as err:
                self._seal()
                self.problem = f"the write-ahead log cannot be written: {err.strerror}"
                raise (LogFull if err.errno in _NO_SPACE else Unavailable)(self.problem) from err
            self.problem = ""
            self._bytes += current.size - before
            if current.weight >= self._limits.weight:
                self._seal()
            self._changed.notify_all()
        self.appends.observe(time.monotonic() - started)

    @property
    def limit(self) -> int:
        """Bytes that may wait."""
        return int(self._limits.size)

    def require_room(self, size: int) -> None:
        """
        Raises:
            LogFull: there is no room for so many bytes.
        """
        used, limit = self._bytes + size, int(self._limits.size)
        room = os.statvfs(self.folder)
        free = room.f_bavail * room.f_frsize
        if used > limit:
            self.problem = f"the write-ahead log is full ({limit >> 20} MiB wait for the store)"
        elif free - size < self._limits.keep_free:
            self.problem = f"the disk of the write-ahead log is full ({free >> 20} MiB are free)"
        else:
            return
        raise LogFull(self.problem)

    def _current(self) -> OpenSegment:
        if self._open is None:
            self._number += 1
            self._open = OpenSegment(self.folder, self._number, self._now())
        return self._open

    def _seal(self) -> None:
        if self._open is None:
            return
        segment, self._open = self._open.seal(), None
        self._ended_at = self._now()
        if segment is not None:
            self._sealed.append(segment)
            self._changed.notify_all()

    # -- by the thread that reads ----------------------------------------------------------------

    def oldest(self, timeout: float) -> Segment | None:
        """The oldest segment, sealed; None when there is none yet after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._sealed:
                wait = deadline - time.monotonic()
                if self._open is not None:
                    young = self._young_for(self._open)
                    if self._closing or young <= 0:
                        self._seal()
                        continue
                    wait = min(wait, young)
                if wait <= 0 or self._closing:
                    return None
                self._changed.wait(wait)
            return self._sealed[0]

    def _young_for(self, segment: OpenSegment) -> float:
        """So many seconds it waits for more. A clock that jumped back holds nothing up."""
        now, age = self._now(), self._limits.age
        if now < segment.opened:
            return 0.0
        soon = max(segment.opened + _SOON_S, self._ended_at + age)
        return min(segment.opened + age, soon) - now

    def remove(self, segment: Segment) -> None:
        """It is in the store."""
        segment.path.unlink(missing_ok=True)
        self._forget(segment)

    def set_aside(self, segment: Segment, why: str) -> None:
        """Keep it for a person to look at: what of it could be stored is in the store."""
        where = self.folder / _SET_ASIDE / segment.path.name
        segment.path.rename(where)
        log.error("a segment of the write-ahead log is set aside, because %s: %s", why, where)
        self._forget(segment)
        with self._changed:
            self._count_set_aside += 1

    def _forget(self, segment: Segment) -> None:
        with self._changed:
            self._sealed.remove(segment)
            self._bytes -= segment.size

    # -- by anybody ------------------------------------------------------------------------------

    def waiting(self) -> list[Segment]:
        """The sealed segments, oldest first."""
        with self._changed:
            return list(self._sealed)

    def state(self) -> LogState:
        with self._changed:
            oldest = self._sealed[0].since if self._sealed else None
            if oldest is None and self._open is not None:
                oldest = self._open.opened
            age = 0.0 if oldest is None else max(0.0, self._now() - oldest)
            count = len(self._sealed) + (self._open is not None)
            return LogState(count, self._bytes, round(age, 3), self._count_set_aside)

    def seal_older(self, seconds: float) -> None:
        """End the segment that is appended to, if it was begun so long ago."""
        with self._changed:
            if self._open is not None and self._now() - self._open.opened >= seconds:
                self._seal()

    def seal_now(self) -> None:
        """From now on whatever is there is the oldest, however little and young it is."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._seal()
        os.close(self._handle)


_NO_SPACE = {28, 122}  # ENOSPC, EDQUOT


def _claimed(folder: Path) -> int:
    """A handle that keeps other processes out until it is closed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / _SET_ASIDE).mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder)
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        os.close(handle)
        raise ConfigError(f"{folder}: another novacron-collector uses this folder") from err
    return handle
