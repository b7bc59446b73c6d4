"""One transaction of a spool: what it does to the tables, and to what is known of them."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from novacron_agent.delivery.batch import Batch, Dropped, Gap, uuid7
from novacron_agent.delivery.database import Damaged
from novacron_agent.otlp import Request

_STEP = 1 << 20  # between the places of two batches: halves of one find theirs in between
_OVERHEAD = 4096  # of the disk for a batch beside its body, at most
_MOST_GAPS = 64


@dataclass(frozen=True, slots=True)
class SpoolState:
    batches: int = 0
    size: int = 0
    oldest_ns: int = 0  # when it was put; 0 for none


class Change:
    """`last_place` and `dropped` are the outcome once it is committed."""

    def __init__(
        self,
        db: sqlite3.Connection,
        before: SpoolState,
        last_place: int,
        in_hand: int | None,
        now_ns: Callable[[], int],
    ) -> None:
        self._db, self._now_ns = db, now_ns
        self._batches, self._size = before.batches, before.size
        self._in_hand = -1 if in_hand is None else in_hand
        self.last_place = last_place
        self.dropped: list[tuple[Dropped, int]] = []

    def state(self) -> SpoolState:
        return SpoolState(self._batches, self._size, created_ns(self._db))

    def add(self, request: Request, size: int | None = None, *, notice: bool = False) -> None:
        """As the newest; what is older goes while all together are more than `size`."""
        if size is not None:
            if weight_of(request) > size:
                return self.lose(_gap(Dropped.SIZE, request), self.last_place)
            self.drop(Dropped.SIZE, self._size + weight_of(request) - size)
        self.last_place += _STEP
        now = self._now_ns()
        self._insert(self.last_place, uuid7(now), request, now, notice)
        return None

    def split(self, batch: Batch, halves: tuple[Request, Request]) -> None:
        (after,) = self._db.execute(
            "SELECT min(place) FROM batches WHERE place > ?", (batch.place,)
        ).fetchone()
        middle = (batch.place + (after or batch.place + _STEP)) // 2
        self.remove(batch.place)
        for place, half in zip((batch.place, middle), halves, strict=True):
            self._insert(place, uuid7(self._now_ns()), half, batch.created_ns, batch.notice)

    def _insert(
        self, place: int, name: uuid.UUID, request: Request, created_ns: int, notice: bool
    ) -> None:
        self._db.execute(
            "INSERT INTO batches (place, id, points, first_ns, last_ns, created_ns, notice, "
            "weight, body) VALUES (?,?,?,?,?,?,?,?,?)",
            (
                *(place, name.bytes, request.points, request.first_ns, request.last_ns),
                *(created_ns, notice, weight_of(request), request.body),
            ),
        )
        self._batches += 1
        self._size += weight_of(request)

    def remove(self, place: int) -> None:
        for (weight,) in self._db.execute(
            "DELETE FROM batches WHERE place = ? RETURNING weight", (place,)
        ).fetchall():
            self._batches -= 1
            self._size -= weight

    def drop(self, reason: Dropped, surplus: int) -> None:
        """The oldest, until so many bytes are gained."""
        while surplus > 0 and (oldest := self._oldest()) is not None:
            surplus -= oldest[1]
            self._drop(reason, oldest)

    def drop_old(self, before_ns: int) -> None:
        while (oldest := self._oldest()) is not None and oldest[2] < before_ns:
            self._drop(Dropped.AGE, oldest)

    def _oldest(self) -> tuple[int, ...] | None:
        """(place, weight, created, first, last, points) of what may be dropped."""
        found: tuple[int, ...] | None = self._db.execute(
            "SELECT place, weight, created_ns, first_ns, last_ns, points FROM batches "
            "WHERE place != ? AND NOT notice ORDER BY place LIMIT 1",
            (self._in_hand,),
        ).fetchone()
        return found

    def _drop(self, reason: Dropped, row: tuple[int, ...]) -> None:
        place, _weight, _created, first_ns, last_ns, points = row
        self.remove(place)
        self.lose(Gap(reason, first_ns, last_ns, points), place)

    # -- gaps ------------------------------------------------------------------------------------

    def lose(self, gap: Gap, place: int) -> None:
        """Count it, and note it."""
        self.dropped.append((gap.reason, gap.points))
        self.note(gap, place)

    def note(self, gap: Gap, place: int) -> None:
        """Add it to the gap that ends where it begins."""
        row = self._db.execute(
            "SELECT number, until_place, first_ns, last_ns, points FROM gaps WHERE reason = ? "
            "ORDER BY until_place DESC LIMIT 1",
            (gap.reason,),
        ).fetchone()
        if row is None or abs(place // _STEP - row[1] // _STEP) > 1:
            self._db.execute(
                "INSERT INTO gaps (reason, until_place, first_ns, last_ns, points) "
                "VALUES (?,?,?,?,?)",
                (gap.reason, place, gap.first_ns, gap.last_ns, gap.points),
            )
            return self._merge_gaps(gap.reason)
        both = Gap(gap.reason, *row[2:]) + gap
        self._db.execute(
            "UPDATE gaps SET until_place=?, first_ns=?, last_ns=?, points=? WHERE number=?",
            (max(place, row[1]), both.first_ns, both.last_ns, both.points, row[0]),
        )
        return None

    def _merge_gaps(self, reason: Dropped) -> None:
        """There are few: the two oldest become one, and what is between them is in it."""
        rows = self._db.execute(
            "SELECT number, first_ns, last_ns, points FROM gaps WHERE reason = ? ORDER BY number",
            (reason,),
        ).fetchall()
        if len(rows) <= _MOST_GAPS:
            return
        both = Gap(reason, *rows[0][1:]) + Gap(reason, *rows[1][1:])
        self._db.execute("DELETE FROM gaps WHERE number = ?", (rows[0][0],))
        self._db.execute(
            "UPDATE gaps SET first_ns=?, last_ns=?, points=? WHERE number=?",
            (both.first_ns, both.last_ns, both.points, rows[1][0]),
        )

    def gaps(self) -> list[Gap]:
        rows = self._db.execute(
            "SELECT reason, first_ns, last_ns, points FROM gaps ORDER BY number"
        )
        try:
            return [Gap(Dropped(reason), *numbers) for reason, *numbers in rows]
        except ValueError as err:
            raise Damaged(str(err)) from err

    def count_gaps(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM gaps").fetchone()
        return int(count)

    def has_notice(self) -> bool:
        row = self._db.execute("SELECT 1 FROM batches WHERE notice LIMIT 1").fetchone()
        return row is not None

    def forget_gaps(self) -> None:
        self._db.execute("DELETE FROM gaps")

    # -- dead letters ----------------------------------------------------------------------------

    def bury(self, batch: Batch, reason: str, now_ns: int, room: int) -> None:
        weight = len(batch.body) + _OVERHEAD
        self._db.execute(
            "INSERT INTO dead_letters (id, reason, died_ns, points, first_ns, last_ns, "
            "weight, body) VALUES (?,?,?,?,?,?,?,?)",
            (
                *(batch.id.bytes, reason, now_ns, batch.points),
                *(batch.first_ns, batch.last_ns, weight, batch.body),
            ),
        )
        (size,) = self._db.execute("SELECT sum(weight) FROM dead_letters").fetchone()
        while size > room:
            (weight,) = self._db.execute(
                "DELETE FROM dead_letters WHERE number = (SELECT min(number) FROM dead_letters) "
                "RETURNING weight"
            ).fetchone()
            size -= weight


def weight_of(request: Request) -> int:
    return len(request.body) + _OVERHEAD


def _gap(reason: Dropped, request: Request) -> Gap:
    return Gap(reason, request.first_ns, request.last_ns, request.points)


def created_ns(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT created_ns FROM batches ORDER BY place LIMIT 1").fetchone()
    return int(row[0]) if row else 0
