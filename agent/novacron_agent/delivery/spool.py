"""What waits for one destination, on disk: sealed batches, gaps to be told, dead letters.

Every change is a transaction with its fsync. What `put` returned from is there after kill -9 and
after a loss of power; it goes when it was delivered, or into a gap, in the same transaction.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novacron_agent.delivery.batch import Batch, Dropped, Gap
from novacron_agent.delivery.change import Change, SpoolState, created_ns, weight_of
from novacron_agent.delivery.counts import DeliveryCounts
from novacron_agent.delivery.database import (
    Ballast,
    Damaged,
    is_damage,
    is_full,
    open_database,
    set_aside,
)
from novacron_agent.delivery.salvage import Salvage
from novacron_agent.otlp import Request
from novacron_contract.errors import Unavailable

log = logging.getLogger(__name__)

_DEAD_BYTES = 10 * 2**20
_MORE_BYTES = 16 * 2**20  # of the file: dead letters, gaps, what is half empty
_SHRINK_FROM = 16 * 2**20
_HANG_S = 5.0  # a commit that takes longer: the disk hangs
_LAST_S = 0.5  # for a disk that hangs at the end
_BALLAST_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    size: int = 256 * 2**20
    age_s: float = 72 * 3600.0
    dead_size: int = _DEAD_BYTES


class DiskFull(Unavailable):
    """Nothing can be added."""


class Spool:
    """Any thread may call it. Opened by the first call that needs it, and again after damage.

    All methods raise Unavailable when the disk does not do its part.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits,
        counts: DeliveryCounts,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = path
        self._limits, self._counts, self._now_ns = limits, counts, now_ns
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._closed = False
        self._state = SpoolState()
        self._gaps = 0
        self._last_place = 0
        self._in_hand: int | None = None
        self._salvage: Salvage | None = None  # while a damaged file has more to give
        self._ballast = Ballast(path.with_suffix(".ballast"))
        self._ballast_at = float("-inf")

    @property
    def state(self) -> SpoolState:
        return self._state

    # -- what the writer does --------------------------------------------------------------------

    def put(self, requests: Sequence[Request], lost: Sequence[Gap] = ()) -> None:
        """Add them as the newest batches; the oldest go where there is no room, or too old.

        `lost` was dropped before it came here.
        """
        try:
            self._put(requests, lost)
        except DiskFull:
            self._put(requests, lost, disk_is_full=True)
        except Unavailable:
            if self._salvage is None:
                raise
            self._put(requests, lost)
        if time.monotonic() - self._ballast_at > _BALLAST_EVERY_S:
            self._ballast_at = time.monotonic()
            self._ballast.take()

    def _put(
        self, requests: Sequence[Request], lost: Sequence[Gap], *, disk_is_full: bool = False
    ) -> None:
        with self._transaction(adding=True) as change:
            change.drop_old(self._now_ns() - int(self._limits.age_s * 1e9))
            if disk_is_full:
                change.drop(Dropped.DISK, sum(map(weight_of, requests)))
            for gap in lost:
                change.note(gap, change.last_place)
            for request in requests:
                change.add(request, self._limits.size)

    # -- what the sender does --------------------------------------------------------------------

    def take(self, *, newest: bool) -> Batch | None:
        """Look at the newest or the oldest. It stays, and is not dropped, until the next call."""
        order = "DESC" if newest else "ASC"
        with self._held() as db:
            row = db.execute(
                "SELECT place, id, body, points, first_ns, last_ns, created_ns, notice "
                f"FROM batches ORDER BY place {order} LIMIT 1"
            ).fetchone()
            self._in_hand = row[0] if row else None
            return _batch(row) if row else None

    def let_go(self, batch: Batch) -> None:
        """It was not taken; from now on it may be dropped."""
        self._in_hand = None

    def ack(self, batch: Batch) -> None:
        """It was delivered."""
        with self._transaction() as change:
            change.remove(batch.place)
        self._in_hand = None
        self._shrink()

    def bury(self, batch: Batch, reason: str) -> None:
        """It will never be taken: a dead letter, of which the oldest go."""
        with self._transaction() as change:
            change.remove(batch.place)
            change.bury(batch, reason, self._now_ns(), self._limits.dead_size)
            if not batch.notice:
                gap = Gap(Dropped.REFUSED, batch.first_ns, batch.last_ns, batch.points)
                change.lose(gap, batch.place)
        self._in_hand = None

    def split(self, batch: Batch, halves: tuple[Request, Request]) -> None:
        """Two batches in place of one, where that one was."""
        with self._transaction() as change:
            change.split(batch, halves)
        self._in_hand = None

    def tell_gaps(self, encode: Callable[[list[Gap]], Request]) -> bool:
        """Make a batch of the gaps that are still to be told; whether there were any.

        One such batch waits at a time, so that they are few however long it takes.
        """
        if not self._gaps or self._salvage is not None:
            return False
        with self._transaction(adding=True) as change:
            gaps = change.gaps()
            if not gaps or change.has_notice():
                return False
            change.add(encode(gaps), notice=True)
            change.forget_gaps()
        return True

    def close(self) -> None:
        """For good."""
        self._closed = True
        if self._lock.acquire(timeout=_LAST_S):
            try:
                self._disconnect()
            finally:
                self._lock.release()

    # -- transactions ----------------------------------------------------------------------------

    @contextmanager
    def _held(self, *, adding: bool = False) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone; its errors become ours."""
        if not self._lock.acquire(timeout=_HANG_S):
            raise Unavailable(f"{self.path}: the disk does not answer")
        try:
            yield self._connected(adding)
        except (Damaged, UnicodeDecodeError) as err:
            raise self._set_aside(str(err)) from err
        except sqlite3.Error as err:
            if is_damage(err):
                raise self._set_aside(str(err)) from err
            if is_full(err):
                self._ballast.release()
                self._empty_journal()
                raise DiskFull(f"{self.path}: {err}") from err
            raise Unavailable(f"{self.path}: {err}") from err
        finally:
            self._lock.release()

    @contextmanager
    def _transaction(self, *, adding: bool = False) -> Iterator[Change]:
        with self._held(adding=adding) as db:
            change = Change(db, self._state, self._last_place, self._in_hand, self._now_ns)
            try:
                db.execute("BEGIN IMMEDIATE")
                yield change
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            self._state = change.state()
            self._last_place = change.last_place
            self._gaps = change.count_gaps()
            for reason, points in change.dropped:
                self._counts.dropped(reason, points)

    def _empty_journal(self) -> None:
        """Bring what is in it to the file, in the ballast's room: its own is there for what is
        written next, in the place of older batches."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connected(self, adding: bool) -> sqlite3.Connection:
        if self._closed:
            raise Unavailable(f"{self.path}: closed")
        is_new = self._db is None
        if self._db is None:
            self._db = self._opened()
            self._look_through(self._db)
            if self._state.batches:
                log.info("%s: %d batches wait since before", self.path, self._state.batches)
        if self._salvage is not None and (is_new or adding):
            self._save(self._salvage, self._db)
        return self._db

    def _opened(self) -> sqlite3.Connection:
        size = self._limits.size
        return open_database(self.path, size + size // 8 + self._limits.dead_size + _MORE_BYTES)

    def _look_through(self, db: sqlite3.Connection) -> None:
        found = db.execute("SELECT count(*), sum(weight), min(place) FROM batches").fetchone()
        (last,) = db.execute(
            "SELECT max(seq) FROM sqlite_sequence WHERE name = 'batches'"
        ).fetchone()
        self._last_place = last or 0
        self._state = SpoolState(found[0], found[1] or 0, created_ns(db))
        (self._gaps,) = db.execute("SELECT count(*) FROM gaps").fetchone()

    def _set_aside(self, why: str) -> Unavailable:
        """The next call begins a new file with what the old one still gives."""
        self._disconnect()
        try:
            aside = set_aside(self.path)
        except OSError as err:
            return Unavailable(f"{self.path}: {why}; not set aside: {err.strerror}")
        self._salvage = Salvage(aside)
        self._counts.set_aside()
        log.warning("%s: %s; set aside as %s, a new one is begun", self.path, why, aside.name)
        return Unavailable(f"{self.path}: {why}")

    def _save(self, salvage: Salvage, db: sqlite3.Connection) -> None:
        """Where there is no room for all, the rest follows as what is here is delivered."""
        try:
            salvage.copy_into(db)
        finally:
            self._look_through(db)
        self._salvage = None
        log.warning(
            "%s: %d batches were saved from %s", self.path, salvage.batches, salvage.aside.name
        )

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            try:
                db.close()
            except sqlite3.Error as err:
                log.warning("%s: %s", self.path, err)

    def _shrink(self) -> None:
        """Give the disk back what an outage took, once nothing waits."""
        if self._state.batches:
            return
        with self._held() as db:
            (free,) = db.execute("PRAGMA freelist_count").fetchone()
            (page,) = db.execute("PRAGMA page_size").fetchone()
            if free * page > _SHRINK_FROM:
                db.execute("VACUUM")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _batch(row: tuple[Any, ...]) -> Batch:
    place, name, body, points, first_ns, last_ns, created, notice = row
    numbers = (points, first_ns, last_ns, created)
    sound = isinstance(body, bytes) and all(isinstance(number, int) for number in numbers)
    if not sound or not isinstance(name, bytes) or len(name) != 16:
        raise Damaged("a batch is not as it was written")
    return Batch(place, uuid.UUID(bytes=name), body, *numbers, notice=bool(notice))
