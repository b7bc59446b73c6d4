"""Buckets of 5 minutes and of one hour, made from samples by scheduled windows.

A window is rolled up as a whole and may be rolled up again: the newest version of a bucket wins.
So a crash at any point is harmless: what was not recorded as done is done again.

Windows up to a recorded time were rolled up. Samples that arrive for such a window leave a mark
(writer.py), and the window is rolled up again together with the windows that follow from it: a
bucket of a counter holds the step from the bucket before, whenever that was, so that buckets add
up to the increase of the samples, restarts of the counter included.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry import retention, schema
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.schema import WINDOW_S
from novacron_store.telemetry.windows import drop_gathered, gather, gather_again
from novacron_store.telemetry.writer import LATENESS_S, SETTLE_S

log = logging.getLogger(__name__)

HOUR_S = 3600
_BORDER_HELD_S = 600  # longer than any query may take

_COLUMNS = (
    "metric, entity, series, t, version, count, min, max, sum, first, last, last_ts, increase, "
    "sketch, retention"
)
_COUNTERS = (
    f"(SELECT series FROM {schema.SERIES} "
    "WHERE kind = 'sum' AND monotonic AND temporality = 'cumulative')"
)
_DELTAS = f"(SELECT series FROM {schema.SERIES} WHERE kind = 'sum' AND temporality = 'delta')"
_WINDOW = "toDateTime({window:UInt32}, 'UTC')"
# A DateTime64, as times of samples are (samples.py).
_END = f"toDateTime64({{window:UInt32}}, 3, 'UTC') + INTERVAL {WINDOW_S} SECOND"
_BEFORE = f"{_WINDOW} - INTERVAL {WINDOW_S} SECOND"
_SOLO = "SETTINGS max_threads = 1"  # a third less CPU than all threads take
_STEP = "if({now} < {before}, {now}, {now} - {before})"  # a smaller value: the counter restarted

# The step from the bucket just before is joined; the few series without one follow in _AFTER_GAP.
_ROLL_WINDOW = f"""
INSERT INTO {schema.ROLLUP_5M} ({_COLUMNS})
SELECT metric, entity, series, {_WINDOW}, {{version:UInt64}}, length(measured), arrayMin(measured),
    arrayMax(measured), arraySum(measured), measured[1], measured[-1],
    fromUnixTimestamp64Milli(last_time, 'UTC'),
    multiIf(delta, arraySum(measured), NOT counter, 0,
        arraySum(arrayMap((x, d) -> if(d < 0, x, d), measured, arrayDifference(measured)))
        + if(known, {_STEP.format(now="measured[1]", before="p.before")}, 0)),
    arrayReduce('{schema.SKETCH.replace("quantilesDD", "quantilesDDState")}',
        if(counter, [], measured)),
    retention
FROM (
    SELECT metric, entity, series, retention,
        series IN {_COUNTERS} AS counter, series IN {_DELTAS} AS delta,
        arrayFilter(x -> NOT isNaN(x), values) AS measured,
        arrayFilter((t, x) -> NOT isNaN(x), times, values)[-1] AS last_time
    FROM {schema.WINDOWS} FINAL
    WHERE t = {_WINDOW} AND NOT has({{expired:Array(String)}}, toString(retention))
) AS b
LEFT ANY JOIN (
    SELECT series, last AS before, true AS known FROM {schema.ROLLUP_5M} FINAL WHERE t = {_BEFORE}
) AS p USING (series)
WHERE notEmpty(measured)
{_SOLO}
"""

_ANY = f"SELECT count() FROM (SELECT 1 FROM {schema.ROLLUP_5M} WHERE t = {_WINDOW} LIMIT 1)"

_NEWCOMERS = f"""
SELECT metric, entity, series FROM {schema.ROLLUP_5M}
WHERE t = {_WINDOW} AND series IN {_COUNTERS}
    AND series NOT IN (SELECT series FROM {schema.ROLLUP_5M} WHERE t = {_BEFORE})
"""

_AFTER_GAP = f"""
INSERT INTO {schema.ROLLUP_5M} ({_COLUMNS})
SELECT metric, entity, series, t, {{version:UInt64}} + 1, count, min, max, sum, first, last,
    last_ts, increase + {_STEP.format(now="first", before="before")}, sketch, retention
FROM (
    SELECT * FROM {schema.ROLLUP_5M} FINAL
    WHERE t = {_WINDOW} AND (metric, entity, series) IN ({_NEWCOMERS})
) AS b
INNER ANY JOIN (
    SELECT series, argMax(last, t) AS before FROM {schema.ROLLUP_5M} FINAL
    WHERE t < {_BEFORE} AND (metric, entity, series) IN ({_NEWCOMERS})
    GROUP BY series
) AS p USING (series)
"""

# Counters of a window whose next bucket is the next window's, and the others' next buckets.
_IN_NEXT = f"""
SELECT metric, entity, series, count() > 1 AS follows FROM (
    SELECT DISTINCT metric, entity, series, t FROM {schema.ROLLUP_5M}
    WHERE t IN ({_WINDOW}, {_WINDOW} + INTERVAL {WINDOW_S} SECOND) AND series IN {_COUNTERS}
)
GROUP BY metric, entity, series HAVING min(t) = {_WINDOW}
"""
_LATER = f"""
SELECT DISTINCT toUnixTimestamp(next) FROM (
    SELECT min(t) AS next FROM {schema.ROLLUP_5M}
    WHERE t > {_WINDOW} AND (metric, entity, series) IN (
        SELECT metric, entity, series FROM ({_IN_NEXT}) WHERE NOT follows
    )
    GROUP BY series
)
"""

_ROLL_HOUR = f"""
INSERT INTO {schema.ROLLUP_1H} ({_COLUMNS})
SELECT any(metric), any(entity), series, {_WINDOW}, {{version:UInt64}}, sum(b.count), min(b.min),
    max(b.max), sum(b.sum), argMin(b.first, t), argMax(b.last, t), max(b.last_ts),
    sum(b.increase), {schema.SKETCH.replace("quantilesDD", "quantilesDDMergeState")}(b.sketch),
    any(retention)
FROM (
    SELECT * FROM {schema.ROLLUP_5M} FINAL
    WHERE t >= {_WINDOW} AND t < {_WINDOW} + INTERVAL {HOUR_S} SECOND
) AS b
GROUP BY series
{_SOLO}
"""

_NEWEST_OF_HOUR = f"""
SELECT max(version) FROM {schema.ROLLUP_5M}
WHERE t >= {_WINDOW} AND t < {_WINDOW} + INTERVAL {HOUR_S} SECOND
"""


@dataclass(frozen=True, slots=True)
class Rolled:
    """What one run did: windows and hours for the first time, and `again` because of late data."""

    windows: int = 0
    hours: int = 0
    again: int = 0


@dataclass(frozen=True, slots=True)
class _Mark:
    set_at: float  # Unix seconds
    entities: Sequence[str]  # whose samples came; empty: not known


@dataclass(frozen=True, slots=True)
class Roller:
    """Rolls up what is due. One runs at a time; two at once waste work and harm nothing."""

    client: Client
    lateness_s: float = LATENESS_S
    settle_s: float = SETTLE_S
    arrivals_kept_s: int = _BORDER_HELD_S
    # Windows with those of their marks whose samples can be read.
    _gathered: set[tuple[int, int]] = field(default_factory=set)

    def run(
        self, now: datetime | None = None, stopping: Callable[[], bool] = lambda: False
    ) -> Rolled:
        """Roll up everything due at `now`; stop early, at no loss, when `stopping` says so.

        Raises:
            Unavailable: the store does not answer now; run again.
        """
        at = (now or datetime.now(UTC)).timestamp()
        with contract_errors():
            waiting = self._marks()
            self._gather_late(waiting)
            marks = _settled(waiting, at - self.settle_s)
            again = self._repair(sorted(marks), at, stopping)
            windows = self._advance(at, stopping)
            hours = self._advance_hours(at, stopping)
            if not stopping():
                end = self._rolled_to(WINDOW_S)
                self._consume({window: marks[window] for window in marks if window < end})
                drop_gathered(self.client, max(0, end - _BORDER_HELD_S), self.arrivals_kept_s)
        if again or windows or hours:
            log.info("rolled up %d windows, %d hours, %d again", windows, hours, again)
        return Rolled(windows, hours, again)

    def _advance(self, at: float, stopping: Callable[[], bool]) -> int:
        due = self._due(WINDOW_S, at)
        window = self._rolled_to(WINDOW_S) or self._begin(due)
        count = 0
        while window and window < due and not stopping():
            self._record(schema.CLAIMED, window + WINDOW_S)
            gather(self.client, window)
            self._roll(window)
            self._roll_hours([window])
            count += 1
            window = self._after(window, due)
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

    def _after(self, window: int, due: int) -> int:
        """The window to go on with: after silence, the next that has samples."""
        if self._row(_ANY, {"window": window})[0]:
            return window + WINDOW_S
        self._record(schema.CLAIMED, due)
        return min(self._next_window(window) or due, due)

    def _advance_hours(self, at: float, stopping: Callable[[], bool]) -> int:
        due = self._due(HOUR_S, at)
        hour = self._rolled_to(HOUR_S) or self._first_hour()
        count = 0
        while hour and hour < due and not stopping():
            self._record(schema.CLAIMED_HOURS, hour + HOUR_S)
            self._roll_hour(hour)
            hour += HOUR_S
            self._record(HOUR_S, hour)
            count += 1
        return count

    def _due(self, width: int, at: float) -> int:
        """The end of the windows whose samples have come, by the clock and by what has come.

        By both, because a clock that jumps ahead for a while must not leave windows behind as done.
        """
        arrived = self._row(f"SELECT toUnixTimestamp(max(ts)) FROM {schema.ARRIVALS}")[0]
        newest = max(int(arrived), self._rolled_to(WINDOW_S) - 1)
        return min(int(at - self.lateness_s), newest + width) // width * width

    def _gather_late(self, waiting: Mapping[int, Mapping[int, _Mark]]) -> None:
        """At once, so that samples which came late can be read; buckets wait for the others."""
        end = self._rolled_to(WINDOW_S)
        for window, marks in sorted(waiting.items()):
            new = [mark for mark in marks if (window, mark) not in self._gathered]
            if window < end and new:
                known = [marks[mark].entities for mark in new]
                concerned = {entity for entities in known for entity in entities}
                gather_again(self.client, window, sorted(concerned) if all(known) else ())
                self._gathered.update((window, mark) for mark in new)

    def _repair(self, marked: Sequence[int], at: float, stopping: Callable[[], bool]) -> int:
        """Roll marked windows again, then those that follow from them, then their hours."""
        end = self._rolled_to(WINDOW_S)
        rules = retention.current(self.client)
        dirty = [window for window in marked if window < end]
        for window in dirty:
            if stopping():
                return 0
            self._roll(window, rules.expired(window, at))
        followers = {f for window in dirty for f in self._followers(window) if f < end}
        for window in sorted(followers.difference(dirty)):
            self._roll(window, rules.expired(window, at))
        again = followers.union(dirty)
        self._roll_hours(again)
        return len(again)

    def _roll(self, window: int, expired: Sequence[str] = ()) -> None:
        """Samples of `expired` classes may be gone in part: their old buckets are better."""
        version = self._version(schema.ROLLUP_5M, window)
        parameters = {"window": window, "version": version, "expired": list(expired)}
        self.client.command(_ROLL_WINDOW, parameters=parameters)
        if self.client.query(f"{_NEWCOMERS} LIMIT 1", parameters=parameters).row_count:
            self.client.command(_AFTER_GAP, parameters=parameters)

    def _roll_hours(self, windows: Iterable[int]) -> None:
        """Roll the hours of `windows`, which were rolled just now, again as far as anybody may have
        read them."""
        hours = sorted({window // HOUR_S * HOUR_S for window in windows})
        if hours:
            end = max(self._rolled_to(schema.CLAIMED_HOURS), self._rolled_to(HOUR_S))
            for hour in hours:
                if hour < end:
                    self._roll_hour(hour)

    def _roll_hour(self, hour: int) -> None:
        """And again, while others change its windows: whose buckets came last does not matter."""
        changed, read = self._newest_version(hour), -1
        while changed != read:
            version = self._version(schema.ROLLUP_1H, hour)
            self.client.command(_ROLL_HOUR, parameters={"window": hour, "version": version})
            changed, read = self._newest_version(hour), changed

    def _newest_version(self, hour: int) -> int:
        """Of the windows of an hour."""
        return int(self._row(_NEWEST_OF_HOUR, {"window": hour})[0])

    def _version(self, table: str, bucket: int) -> int:
        """Larger than that of any bucket there: a clock that was ahead must not make what it rolled
        up the newest for ever. Room is left for the second write of _AFTER_GAP."""
        newest = self._row(
            f"SELECT max(version) FROM {table} WHERE t = {_WINDOW}", {"window": bucket}
        )
        return max(int(datetime.now(UTC).timestamp() * 1_000_000), int(newest[0]) + 2)

    def _followers(self, window: int) -> set[int]:
        parameters = {"window": window}
        counts = self._row(f"SELECT countIf(follows), count() FROM ({_IN_NEXT})", parameters)
        found = {window + WINDOW_S} if counts[0] else set()
        if counts[0] < counts[1]:
            later = self.client.query(_LATER, parameters=parameters).result_rows
            found |= {row[0] for row in later}
        return found

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

    def _consume(self, marks: dict[int, list[int]]) -> None:
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

    def _first_hour(self) -> int:
        oldest = self._row(f"SELECT toUnixTimestamp(min(t)) FROM {schema.ROLLUP_5M}")[0]
        return int(oldest) // HOUR_S * HOUR_S

    def _rolled_to(self, resolution: int) -> int:
        """Where the windows not yet rolled up begin, in Unix seconds; 0 before the first run."""
        return int(
            self._row(
                f"SELECT toUnixTimestamp(max(upto)) FROM {schema.ROLLED} "
                "WHERE resolution = {resolution:UInt32}",
                {"resolution": resolution},
            )[0]
        )

    def _record(self, resolution: int, upto: int) -> None:
        rows = [[resolution, datetime.fromtimestamp(upto, UTC)]]
        self.client.insert(schema.ROLLED, rows, ["resolution", "upto"])

    def _row(self, sql: str, parameters: dict[str, Any] | None = None) -> Sequence[Any]:
        return self.client.query(sql, parameters=parameters).result_rows[0]


def _settled(waiting: Mapping[int, Mapping[int, _Mark]], before: float) -> dict[int, list[int]]:
    """Those of the marks that were set before that Unix time, of which no more is about to come."""
    found = {
        window: [mark for mark, of in marks.items() if of.set_at <= before]
        for window, marks in waiting.items()
    }
    return {window: marks for window, marks in found.items() if marks}
