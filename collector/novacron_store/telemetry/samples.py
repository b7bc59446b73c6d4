"""Where samples are read: all of them, wherever they are by now.

What arrives is kept as it comes (RECENT), one row for all that an entity told at one time. When its
window is rolled up it is copied to SAMPLES, ordered by metric. Up to the time that is recorded as
rolled up samples are read from there, after it from RECENT: one record moves the border for every
reader, so that no sample is ever missing or read twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from novacron_store.telemetry import schema

# A DateTime64, as everything that times of samples are compared with: before a DateTime, chDB 4.4
# does not look for what is in the last second.
BORDER = (
    f"toDateTime64((SELECT max(upto) FROM {schema.ROLLED} "
    f"WHERE resolution = {schema.WINDOW_S}), 3, 'UTC')"
)
COLUMNS = "retention, metric, entity, series, ts, start_ts, value"

RECENT_ROWS = f"""SELECT retention, name AS metric, entity, id AS series, ts, start AS start_ts,
        number AS value
    FROM {schema.RECENT}
    ARRAY JOIN metrics AS name, ids AS id, starts AS start, numbers AS number"""
_RECENT_ONCE = f"""SELECT any(r.retention) AS retention, metric, entity, series, ts,
        anyLast(r.start_ts) AS start_ts, anyLast(r.value) AS value
    FROM ({RECENT_ROWS} WHERE ts >= %s) AS r
    GROUP BY metric, entity, series, ts"""


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples, as two relations of COLUMNS: before the border and after it."""

    before: str
    after: str
    border: int  # Unix seconds, 0 where only the query knows it

    @property
    def all(self) -> str:
        """To be read FROM."""
        return f"({self.before}\n    UNION ALL\n    {self.after})"

    def between(self, start: int, end: int) -> str:
        """Where those of a range are, to be read FROM; in Unix seconds."""
        if start >= self.border > 0:
            return f"({self.after})"
        return f"({self.before})" if end <= self.border else self.all


def as_stored(border: int = 0) -> Samples:
    """A sample that came twice may be there twice. A known border saves asking for it; a reader may
    hold it for some minutes."""
    where = _moment(border)
    return Samples(
        f"SELECT {COLUMNS} FROM {schema.SAMPLES} WHERE ts < {where}",
        f"{RECENT_ROWS} WHERE ts >= {where}",
        border,
    )


def once(border: int = 0) -> Samples:
    """Each sample is there once."""
    where = _moment(border)
    return Samples(
        f"SELECT {COLUMNS} FROM {schema.SAMPLES} FINAL WHERE ts < {where}",
        _RECENT_ONCE % where,
        border,
    )


def _moment(border: int) -> str:
    return f"toDateTime64({border}, 3, 'UTC')" if border else BORDER
