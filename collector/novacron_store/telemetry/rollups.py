"""Keeps samples in their best form, and buckets of them: by scheduled windows and hours.

Windows of five minutes are gathered when their stragglers had time, and an hour is closed when all
of its windows are: it is packed, and its buckets are made. Either may be done again, and the newest
version wins. So a crash at any point is harmless: what was not recorded as done is done again.

Samples that arrive for a window that was gathered leave a mark (writer.py). It is gathered again,
and of an hour that was closed, the rows of the entities concerned are opened, and closed again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import buckets, retention, schema
from novacron_store.telemetry.blocks import pack, unpack
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.progress import revise
from novacron_store.telemetry.room import written
from novacron_store.telemetry.schema import HOUR_S, WINDOW_S
from novacron_store.telemetry.windows import (
    closed_hours,
    drop_gathered,
    drop_hour,
    gather,
    gather_again,
)
from novacron_store.telemetry.writer import LATENESS_S, SETTLE_S

log = logging.getLogger(__name__)

CLOSING_S = 300  # an hour is closed this long after its end: to pack it again costs more
_BORDER_HELD_S = 600  # longer than any query may take
_WINDOW = "toDateTime({window:UInt32}, 'UTC')"
# A DateTime64, as times of samples are (samples.py).
_END = f"toDateTime64({{window:UInt32}}, 3, 'UTC') + INTERVAL {WINDOW_S} SECOND"
_RECORDED = (
    f"SELECT resolution, toUnixTimestamp(max(upto)) FROM {schema.ROLLED} GROUP BY resolution"
)
_ARRIVED = f"""SELECT toUnixTimestamp(max(ts)) FROM {schema.ARRIVALS}
WHERE ts >= toDateTime64({{gathered:UInt32}}, 3, 'UTC')"""
_ANY = f"SELECT count() FROM (SELECT 1 FROM {schema.WINDOWS} WHERE t = {_WINDOW} LIMIT 1)"


@dataclass(frozen=True, slots=True)
class Rolled:
    """What one run did: windows gathered and hours closed for the first time, and how many of
    either `again`, because of late data."""

    windows: int = 0
    hours: int = 0
    again: int = 0


@dataclass(frozen=True, slots=True)
class _Mark:
    set_at: float  # Unix seconds
    entities: Sequence[str]  # whose samples came; empty: not known


_Marks = Mapping[int, Mapping[int, _Mark]]  # by window and id


@dataclass(slots=True)
class Roller:
    """Does what is due. One runs at a time. `rules` are those of its last run."""

    client: Client
    lateness_s: float = LATENESS_S
    settle_s: float = SETTLE_S
    kept_s: int = _BORDER_HELD_S
    rules: retention.Retention = field(default_factory=retention.Retention, init=False)
    # By resolution, what ROLLED says: only this process writes it, as long as it rolls.
    _recorded: dict[int, int] = field(default_factory=dict)
    # Windows with those of their marks whose samples can be read.
    _gathered: set[tuple[int, int]] = field(default_factory=set)
    # Hours whose windows are still there, and when (monotonic seconds) they were closed.
    _closed_at: dict[int, float] = field(default_factory=dict)

    def run(
        self, now: datetime | None = None, stopping: Callable[[], bool] = lambda: False
    ) -> Rolled:
        """Do everything due at `now`; stop early, at no loss, when `stopping` says so.

        Raises:
            Unavailable: the store does not answer now; run again.
        """
        at = (now or datetime.now(UTC)).timestamp()
        with contract_errors():
            self.rules = retention.current(self.client)
            self._look_up()
            waiting = self._marks()
            again = self._gather_late(waiting)
            marks = _settled(waiting, at - self.settle_s)
            again += self._reopen(marks, at, stopping)
            windows = self._advance(at, stopping)
            hours = self._advance_hours(at, stopping)
            if not stopping():
                end = self._recorded[WINDOW_S]
                self._consume({window: marks[window] for window in marks if window < end})
                self._drop(end)
        if again or windows or hours:
            log.info("gathered %d windows, closed %d hours, %d again", windows, hours, again)
        return Rolled(windows, hours, again)

    def _advance(self, at: float, stopping: Callable[[], bool]) -> int:
        due = self._due(at)
        window = self._recorded[WINDOW_S] or self._begin(due)
        count = 0
        while window and window < due and not stopping():
            self._record(schema.CLAIMED, window + WINDOW_S)
            gather(self.client, window, self.rules)
            found = self._row(_ANY, {"window": window})[0]
            count += found
            window = window + WINDOW_S if found else self._behind_silence(window, due)
            self._record(WINDOW_S, window)
        return count

    def _begin(self, due: int) -> int:
        """The first window of all, 0 where there is none. What is due is claimed before it is
        looked for: who stores an older sample meanwhile knows that it is late."""
        if due <= 0 or not self._next_window(0):
            return 0
        self._record(schema.CLAIMED, due)
        first = min(self._next_window(0), due)
        self._record(WINDOW_S, first)
        return first

    def _behind_silence(self, window: int, due: int) -> int:
        """The next window that has samples."""
        self._record(schema.CLAIMED, due)
        return min(self._next_window(window) or due, due)

    def _advance_hours(self, at: float, stopping: Callable[[], bool]) -> int:
        due = int(min(at - CLOSING_S, self._recorded[WINDOW_S])) // HOUR_S * HOUR_S
        closed, count = self._recorded[HOUR_S], 0
        hour = self._next_hour(closed) if closed < due else 0
        while hour and hour < due and not stopping():
            self._close(hour)
            revise(self.client)  # another collector may have closed it, so that it is read
            self._record(HOUR_S, hour + HOUR_S)
            count += 1
            hour = self._next_hour(hour + HOUR_S)
        return count

    def _close(self, hour: int, entities: Sequence[str] = (), expired: Sequence[str] = ()) -> None:
        pack(self.client, hour, entities)
        buckets.roll(self.client, hour, entities, expired)
        self._closed_at[hour] = time.monotonic()

    def _due(self, at: float) -> int:
        """The end of the windows whose samples have come, by the clock and by what has come.

        By both, because a clock that jumps ahead for a while must not leave windows behind as done.
        """
        gathered = self._recorded[WINDOW_S]
        newest = max(int(self._row(_ARRIVED, {"gathered": gathered})[0]), gathered - 1)
        window = min(int(at - self.lateness_s), newest + WINDOW_S) // WINDOW_S * WINDOW_S
        hour = min(int(at - CLOSING_S), newest + HOUR_S) // HOUR_S * HOUR_S  # silence till its end
        return max(window, hour)

    def _gather_late(self, waiting: _Marks) -> int:
        """Of hours that are not closed: at once, so that samples which came late can be read."""
        closed, end, count = self._recorded[HOUR_S], self._recorded[WINDOW_S], 0
        for window, marks in sorted(waiting.items()):
            new = [mark for mark in marks if (window, mark) not in self._gathered]
            if closed <= window < end and new:
                concerned = _concerned([marks[mark] for mark in new])
                gather_again(self.client, window, self.rules, concerned)
                self._gathered.update((window, mark) for mark in new)
                count += 1
        return count

    def _reopen(self, marked: _Marks, at: float, stopping: Callable[[], bool]) -> int:
        """Closed hours, with all that came for them since."""
        closed, count = self._recorded[HOUR_S], 0
        windows = sorted(window for window in marked if window < closed)
        for hour in sorted({window // HOUR_S * HOUR_S for window in windows}):
            if stopping():
                break
            late = [window for window in windows if hour <= window < hour + HOUR_S]
            entities = _concerned([m for window in late for m in marked[window].values()])
            unpack(self.client, hour, entities)
            for window in late:
                gather_again(self.client, window, self.rules, entities)
            self._close(hour, entities, self.rules.expired(hour, at))
            count += 1 + buckets.follow(self.client, hour, entities)
            revise(self.client)
        return count

    def _drop(self, gathered: int) -> None:
        """What was closed, or gathered, longer ago than a reader may have asked for the borders."""
        drop_gathered(self.client, max(0, gathered - _BORDER_HELD_S), self.kept_s)
        for hour in closed_hours(self.client, self._recorded[HOUR_S]):
            known = self._closed_at.setdefault(hour, time.monotonic())
            if time.monotonic() >= known + self.kept_s:
                drop_hour(self.client, hour)
                del self._closed_at[hour]

    def _marks(self) -> dict[int, dict[int, _Mark]]:
        """By window and id. Samples of a mark are there before it is: what is gathered after this
        was asked holds them."""
        rows = self.client.query(
            "SELECT toUnixTimestamp(window), groupArray(mark), "
            "groupArray(toUnixTimestamp64Milli(marked) / 1000), groupArray(entities) "
            f"FROM {schema.DIRTY} FINAL "
            "WHERE NOT done GROUP BY window"
        ).result_rows
        return {
            window: dict(zip(ids, map(_Mark, times, entities), strict=True))
            for window, ids, times, entities in rows
        }

    def _consume(self, marks: _Marks) -> None:
        if not marks:
            return
        rows = [
            [datetime.fromtimestamp(window, UTC), mark, datetime.now(UTC), True]
            for window, ids in marks.items()
            for mark in ids
        ]
        self.client.insert(schema.DIRTY, rows, ["window", "mark", "marked", "done"])
        self._gathered.difference_update((w, mark) for w, ids in marks.items() for mark in ids)

    def _next_window(self, after: int) -> int:
        """The first window with samples behind the window `after`; 0 when there is none."""
        behind = f"ts >= {_END}" if after else "1"
        oldest = self._row(
            f"SELECT toUnixTimestamp(min(ts)) FROM {schema.ARRIVALS} WHERE {behind}",
            {"window": after},
        )
        return int(oldest[0]) // WINDOW_S * WINDOW_S

    def _next_hour(self, start: int) -> int:
        """The first hour from `start` on with windows; 0 where there is none."""
        oldest = f"SELECT toUnixTimestamp(min(t)) FROM {schema.WINDOWS} WHERE t >= {_WINDOW}"
        return int(self._row(oldest, {"window": start})[0]) // HOUR_S * HOUR_S

    def _look_up(self) -> None:
        """Up to where windows were gathered, and hours closed, in Unix seconds; 0 at first."""
        rows = self.client.query(_RECORDED).result_rows
        self._recorded.update({WINDOW_S: 0, HOUR_S: 0})
        self._recorded.update((row[0], row[1]) for row in rows)

    def _record(self, resolution: int, upto: int) -> None:
        if self._recorded.get(resolution, -1) == upto:
            return
        rows = [[resolution, datetime.fromtimestamp(upto, UTC)]]
        with written(self.client):
            self.client.insert(schema.ROLLED, rows, ["resolution", "upto"])
        self._recorded[resolution] = upto

    def _row(self, sql: str, parameters: dict[str, Any] | None = None) -> Sequence[Any]:
        return self.client.query(sql, parameters=parameters).result_rows[0]


def _settled(waiting: _Marks, before: float) -> _Marks:
    """Those of the marks that were set before that Unix time, of which no more is about to come."""
    found = {
        window: {mark: of for mark, of in marks.items() if of.set_at <= before}
        for window, marks in waiting.items()
    }
    return {window: marks for window, marks in found.items() if marks}


def _concerned(marks: Sequence[_Mark]) -> list[str]:
    """Whose samples came; none: not known of all."""
    if not all(mark.entities for mark in marks):
        return []
    return sorted({entity for mark in marks for entity in mark.entities})
