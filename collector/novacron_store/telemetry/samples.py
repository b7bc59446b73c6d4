"""Where samples are read: all of them, wherever they are by now.

What arrives is kept as it comes (ARRIVALS), one row for all that an entity told at one time. When
its five minutes are over it is gathered to a row of each series (WINDOWS), and when its hour is
closed it is packed (BLOCKS). Two recorded times say up to where samples are read from which: one
record moves a border for every reader, so that no sample is ever missing or read twice. What comes
later than that is read once its window was gathered, or its hour closed, again.

Of several values of a series at one time all questions take the smallest: it needs no order of
arrival, and stays the smallest when more come. NaN, the end of a series, is more than any value.
"""

from __future__ import annotations

from dataclasses import dataclass

from novacron_store.telemetry import blocks, schema


def _upto(resolution: int) -> str:
    return f"(SELECT max(upto) FROM {schema.ROLLED} WHERE resolution = {resolution})"


# `hour` narrows what is read, as `ts` alone does not.
_ARRIVED_ROWS = f"""SELECT retention, name AS metric, entity, id AS series, ts, start AS start_ts,
        number AS value, toStartOfHour(ts) AS hour
    FROM {schema.ARRIVALS}
    ARRAY JOIN metrics AS name, ids AS id, starts AS start, numbers AS number"""
_ARRIVED_ONCE = f"""SELECT any(r.retention) AS retention, metric, entity, series, ts,
        minArgMin(r.start_ts, r.value) AS start_ts, min(r.value) AS value, any(r.hour) AS hour
    FROM ({_ARRIVED_ROWS} WHERE %s) AS r
    GROUP BY metric, entity, series, ts"""
_WINDOW_ROWS = f"""SELECT retention, metric, entity, series,
        fromUnixTimestamp64Milli(time, 'UTC') AS ts,
        fromUnixTimestamp64Milli(start, 'UTC') AS start_ts, value, toStartOfHour(t) AS hour
    FROM {schema.WINDOWS} %s
    ARRAY JOIN times AS time, values AS value,
        if(length(starts) = 1, arrayResize(starts, length(times), starts[1]), starts) AS start"""


@dataclass(frozen=True, slots=True)
class Borders:
    """Up to where windows were gathered and hours closed, in Unix seconds; 0 and 0 where only the
    query knows. Known ones save asking for them, and a reader may hold them for some minutes.

    `revision` is another one whenever a closed hour has changed; 0: nobody told one yet."""

    gathered: int = 0
    closed: int = 0
    revision: int = 0

    @property
    def gathered_sql(self) -> str:
        """A DateTime."""
        return f"toDateTime({self.gathered}, 'UTC')" if self.gathered else _upto(schema.WINDOW_S)

    @property
    def closed_sql(self) -> str:
        """A DateTime."""
        return f"toDateTime({self.closed}, 'UTC')" if self.gathered else _upto(schema.HOUR_S)


UNKNOWN = Borders()


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples: retention, metric, entity, series, ts, start_ts, value, hour.

    With `once` each sample is there once.
    """

    borders: Borders
    once: bool = True

    @property
    def all(self) -> str:
        """To be read FROM."""
        return self.since("")

    def since(self, start: str) -> str:
        """Those whose time is not before the DateTime64 `start` (SQL), and some more; to be read
        FROM."""
        parts = (self._blocks(start, ""), self._windows(start, ""), self._arrivals(start))
        return _together(*parts)

    def between(self, start: int, end: int | None = None) -> str:
        """Those of a range, and some more, to be read FROM; in Unix seconds. No end: all later
        ones, too."""
        first, last = _moment(start), "" if end is None else _moment(end)
        at, parts = self.borders, []
        if not at.gathered or start < at.closed:
            parts.append(self._blocks(first, last))
        if not at.gathered or (start < at.gathered and (end is None or end > at.closed)):
            parts.append(self._windows(first, last))
        if not at.gathered or end is None or end > at.gathered or not parts:
            parts.append(self._arrivals(first))
        return _together(*parts)

    def _blocks(self, start: str, end: str) -> str:
        conditions = [f"hour < {self.borders.closed_sql}"]
        if start:
            conditions.append(f"hour >= toStartOfHour({start})")
        if end:
            conditions.append(f"hour <= {end}")
        return blocks.rows(" AND ".join(conditions), self.once)

    def _windows(self, start: str, end: str) -> str:
        conditions = [f"t >= {self.borders.closed_sql}", f"t < {self.borders.gathered_sql}"]
        if start:
            conditions.append(f"t >= toStartOfFiveMinutes({start})")
        if end:
            conditions.append(f"t <= {end}")
        rows = _WINDOW_ROWS % ("FINAL" if self.once else "")
        return f"{rows} WHERE {' AND '.join(conditions)}"

    def _arrivals(self, start: str) -> str:
        # A DateTime64, as `ts` is: before a DateTime, chDB 4.4 does not look for what is in the
        # last second.
        where = f"ts >= toDateTime64({self.borders.gathered_sql}, 3, 'UTC')"
        if start:
            where += f" AND ts >= {start}"
        return _ARRIVED_ONCE % where if self.once else f"{_ARRIVED_ROWS} WHERE {where}"


def as_stored(borders: Borders = UNKNOWN) -> Samples:
    """For questions that a sample which is there twice does not change, or that take the smallest
    by themselves: it is what they find of older versions of a row, too."""
    return Samples(borders, once=False)


def once(borders: Borders = UNKNOWN) -> Samples:
    """Each sample is there once: of several values the smallest."""
    return Samples(borders)


def _together(*parts: str) -> str:
    return "(" + "\n    UNION ALL\n    ".join(parts) + ")"


def _moment(seconds: int) -> str:
    return f"toDateTime64({seconds}, 3, 'UTC')"
