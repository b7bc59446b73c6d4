"""Where samples are read: all of them, wherever they are by now.

What arrives is kept as it comes (ARRIVALS), one row for all that an entity told at one time. When
its window is rolled up it is gathered to a row of each series (WINDOWS). Up to the time that is
recorded as rolled up samples are read from there, after it from ARRIVALS: one record moves the
border for every reader, so that no sample is ever missing or read twice. What comes later than that
is read once its window was gathered again.
"""

from __future__ import annotations

from dataclasses import dataclass

from novacron_store.telemetry import schema

BORDER = (
    f"(SELECT max(upto) FROM {schema.ROLLED} WHERE resolution = {schema.WINDOW_S})"  # a DateTime
)

# `hour` narrows what is read, as `ts` alone does not.
ARRIVED_ROWS = f"""SELECT retention, name AS metric, entity, id AS series, ts, start AS start_ts,
        number AS value, toStartOfHour(ts) AS hour
    FROM {schema.ARRIVALS}
    ARRAY JOIN metrics AS name, ids AS id, starts AS start, numbers AS number"""
_ARRIVED_ONCE = f"""SELECT any(r.retention) AS retention, metric, entity, series, ts,
        anyLast(r.start_ts) AS start_ts, anyLast(r.value) AS value, any(r.hour) AS hour
    FROM ({ARRIVED_ROWS} WHERE %s) AS r
    GROUP BY metric, entity, series, ts"""
WINDOW_ROWS = f"""SELECT retention, metric, entity, series,
        fromUnixTimestamp64Milli(time, 'UTC') AS ts,
        fromUnixTimestamp64Milli(start, 'UTC') AS start_ts, value, toStartOfHour(t) AS hour
    FROM {schema.WINDOWS} %s
    ARRAY JOIN times AS time, values AS value,
        if(length(starts) = 1, arrayResize(starts, length(times), starts[1]), starts) AS start"""


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples: retention, metric, entity, series, ts, start_ts, value, hour.

    `border` in Unix seconds, 0 where only the query knows it: a known one saves asking for it, and
    a reader may hold it for some minutes. With `once` each sample is there once.
    """

    border: int = 0
    once: bool = True

    @property
    def all(self) -> str:
        """To be read FROM."""
        return self.since("")

    def since(self, start: str) -> str:
        """Those whose time is not before the DateTime64 `start` (SQL), and some more; to be read
        FROM."""
        return f"({self._windows(start, '')}\n    UNION ALL\n    {self._arrivals(start)})"

    def between(self, start: int, end: int) -> str:
        """Those of a range, and some more, to be read FROM; in Unix seconds."""
        first, last = _moment(start), _moment(end)
        if start >= self.border > 0:
            return f"({self._arrivals(first)})"
        windows = self._windows(first, last)
        if end <= self.border:
            return f"({windows})"
        return f"({windows}\n    UNION ALL\n    {self._arrivals(first)})"

    def _windows(self, start: str, end: str) -> str:
        conditions = [f"t < {self._border}"]
        if start:
            conditions.append(f"t >= toStartOfFiveMinutes({start})")
        if end:
            conditions.append(f"t <= {end}")
        rows = WINDOW_ROWS % ("FINAL" if self.once else "")
        return f"{rows} WHERE {' AND '.join(conditions)}"

    def _arrivals(self, start: str) -> str:
        # A DateTime64, as `ts` is: before a DateTime, chDB 4.4 does not look for what is in the
        # last second.
        where = f"ts >= toDateTime64({self._border}, 3, 'UTC')"
        if start:
            where += f" AND ts >= {start}"
        return _ARRIVED_ONCE % where if self.once else f"{ARRIVED_ROWS} WHERE {where}"

    @property
    def _border(self) -> str:
        return f"toDateTime({self.border}, 'UTC')" if self.border else BORDER


def as_stored(border: int = 0) -> Samples:
    """For questions that a sample which is there twice does not change."""
    return Samples(border, once=False)


def once(border: int = 0) -> Samples:
    """Each sample is there once."""
    return Samples(border)


def _moment(seconds: int) -> str:
    return f"toDateTime64({seconds}, 3, 'UTC')"
