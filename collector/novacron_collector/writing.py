"""From the log to the store: one thread takes the oldest segment, writes it, and removes it.

While the store is away segments wait. What the store has is never asked: a segment written twice is
stored once.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from novacron_collector.own_metrics.histogram import POINTS, SECONDS, Histogram
from novacron_collector.store import Store
from novacron_collector.wal.batches import keys_of, unpack
from novacron_collector.wal.frames import Scan
from novacron_collector.wal.ledger import Ledger
from novacron_collector.wal.log import Log
from novacron_collector.wal.segment import Segment
from novacron_contract.errors import NovaCronError

log = logging.getLogger(__name__)

_IDLE_S = 0.5
_TRIES = 5  # of a segment that the store answers, and does not take; then each frame is tried alone
_PATIENCE_S = 600.0  # with a store that takes none of its frames: that may be the store's fault


@dataclass
class Writes:
    """What was written since the start; seconds are of the writes alone."""

    segments: int = 0
    points: int = 0
    seconds: float = 0.0
    failures: int = 0
    torn: int = 0  # segments that ended within a frame, as after a crash within an append


@dataclass
class WriterThread:
    """`lost` is called when something that was acknowledged cannot be read back: what the decoder
    described in it must be described again. `durations` in seconds and `sizes` in points are of the
    segments that were written."""

    log: Log
    ledger: Ledger
    store: Store
    lost: Callable[[], None]
    drain_s: float = 8.0
    retry_s: float = 1.0
    writes: Writes = field(default_factory=Writes, init=False)
    durations: Histogram = field(default_factory=lambda: Histogram(SECONDS), init=False)
    sizes: Histogram = field(default_factory=lambda: Histogram(POINTS), init=False)
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _deadline: float = field(default=float("inf"), init=False)
    _tries: int = field(default=0, init=False)
    _refused_since: float = field(default=0.0, init=False)  # monotonic seconds, while _tries > 0
    _neighbours_stored: bool = field(default=False, init=False)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, for `drain_s` seconds at most; the rest waits for the next start."""
        self._deadline = time.monotonic() + self.drain_s
        self.log.seal_now()
        self._stopping.set()
        self._thread.join()
        self.store.close()

    def _run(self) -> None:
        while time.monotonic() < self._deadline:
            segment = self.log.oldest(_IDLE_S)
            if segment is None and self._stopping.is_set():
                return
            if not (self._open() and (segment is None or self._written(segment))):
                if self._stopping.is_set():
                    return
                self._stopping.wait(self.retry_s)

    def _open(self) -> bool:
        try:
            self.store.open()
        except NovaCronError:  # logged once by the store, and told by the status
            return False
        return True

    def _written(self, segment: Segment) -> bool:
        try:
            self._write(segment)
        except NovaCronError:
            self.writes.failures += 1
            return False
        except Exception as err:  # the outermost edge of one segment: the thread goes on
            if self._tries < _TRIES:
                log.exception("segment %s is not written", segment.name)
            self._refused(segment, err)
            return False
        self._tries = 0
        return True

    def _refused(self, segment: Segment, err: Exception) -> None:
        """The store answered, with an error that nobody knows to pass."""
        self.writes.failures += 1
        self._tries += 1
        if self._tries == 1:
            self._refused_since = time.monotonic()
        long = time.monotonic() - self._refused_since > _PATIENCE_S
        if self._tries >= _TRIES and (self._neighbours_stored or long):
            self.ledger.forget(key for meta in segment.metas() for key in keys_of(meta))
            self._give_up(segment, f"it cannot be stored: {err}")

    def _write(self, segment: Segment) -> None:
        try:
            found = segment.read()
        except OSError as err:
            self._give_up(segment, f"the disk does not give it back: {err.strerror}")
            return
        self._store(segment.name, found)
        self.writes.torn += found.torn
        self.ledger.save((key for f in found.frames for key in keys_of(f.meta)), segment.since)
        if found.damaged:
            self._forget_lost(segment, found)
            self._give_up(segment, f"{found.damaged} places in it are damaged")
        else:
            self.log.remove(segment)

    def _forget_lost(self, segment: Segment, found: Scan) -> None:
        """Of a frame whose data is damaged the keys may be known: its senders may come again."""
        whole = {key for frame in found.frames for key in keys_of(frame.meta)}
        named = (key for meta in segment.metas() for key in keys_of(meta))
        self.ledger.forget(key for key in named if key not in whole)

    def _store(self, name: str, found: Scan) -> None:
        started, points = time.monotonic(), 0
        if self._tries < _TRIES - 1:
            batches = {_token(name): found.frames}
        else:  # one of the frames may be the reason: its neighbours are not to suffer
            batches = {_token(name): [one] for one in found.frames}
        problem: Exception | None = None
        self._neighbours_stored = False
        for token, frames in batches.items():
            try:
                batch = unpack(frames)
                self.store.write(batch, token)
            except NovaCronError:
                raise
            except Exception as err:  # noqa: BLE001  told when the others are written
                problem = err
            else:
                self._neighbours_stored = True
                self.writes.points += batch.points
                points += batch.points
        if problem is not None:
            raise problem
        elapsed = time.monotonic() - started
        self.writes.segments += 1
        self.writes.seconds += elapsed
        self.durations.observe(elapsed)
        self.sizes.observe(points)

    def _give_up(self, segment: Segment, why: str) -> None:
        self._tries = 0
        self.log.set_aside(segment, why)
        self.lost()


def _token(name: str) -> str:
    """Another one for each attempt: a store whose disk was full may know the last one without
    having its rows. What was there after all collapses, as (series, time) is a sample's key."""
    return f"{name}/{secrets.token_hex(8)}"
