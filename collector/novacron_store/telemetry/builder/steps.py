"""SQL for the steps of histograms: each sample with the one before it of its series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from novacron_store.telemetry import schema
from novacron_store.telemetry.builder.wanted import Wanted

LOOK_BACK_MS = 3_600_000  # so far, or a window, before a range the sample before is looked for


@dataclass(frozen=True, slots=True)
class Steps:
    """Of the series that `wanted` has, for windows of so many milliseconds."""

    wanted: Wanted
    window: int

    @property
    def parameters(self) -> dict[str, Any]:
        wanted, series = self.wanted, self.wanted.series
        found: dict[str, Any] = {"metrics": list(wanted.metrics)}
        if not self._all or wanted.rows > 1:
            found["series"] = series.ids[wanted.chosen].tolist()
        if not self._all:
            codes = np.unique(series.entity_of[wanted.chosen])
            found["entities"] = [series.entities[code] for code in codes]
        if wanted.rows > 1:
            found["rows"] = wanted.row_of.tolist()
        return found

    @property
    def condition(self) -> str:
        """Samples that are read."""
        first, end = self._moment(self._start), self._moment(self.wanted.slots.end)
        text = "metric IN {metrics:Array(String)} AND NOT no_value"
        if not self._all:
            text += " AND entity IN {entities:Array(String)} AND series IN {series:Array(UInt64)}"
        return f"""{text}
            AND toStartOfHour(ts) >= toStartOfHour({first}) AND toStartOfHour(ts) <= {end}
            AND ts >= {first} AND ts < {end}"""

    @property
    def row(self) -> str:
        if self.wanted.rows == 1:
            return "toInt32(0)"
        return "transform(series, {series:Array(UInt64)}, {rows:Array(Int32)}, toInt32(-1))"

    @property
    def slot(self) -> str:
        slots = self.wanted.slots
        return f"toInt64(intDiv(now - {slots.start}, {slots.width}))"

    @property
    def inside(self) -> str:
        """Samples that lie in slots, and of which it is known what they grew by."""
        known = f"(delta OR preceded OR began >= {self._start})"
        return f"now >= {self.wanted.slots.start} AND {known}"

    def of(self, table: str, columns: str, follows: str) -> str:
        """Rows of (series, now, delta, preceded, began, columns, follows). `follows`: it goes on
        from the sample before, nothing restarted; the condition is what the kind adds to that."""
        return f"""SELECT series, toUnixTimestamp64Milli(ts) AS now, {columns},
            series IN (SELECT series FROM {schema.SERIES} WHERE temporality = 'delta'
                AND metric IN {{metrics:Array(String)}}) AS delta,
            toUnixTimestamp64Milli(start_ts) AS began,
            lagInFrame(now, 1, 0) OVER steps > 0 AS preceded,
            preceded AND NOT delta AND lagInFrame(start_ts) OVER steps = start_ts
                AND {follows} AS follows
        FROM {table} FINAL WHERE {self.condition}
        WINDOW steps AS (PARTITION BY series ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
        """

    @property
    def _all(self) -> bool:
        series = self.wanted.series
        return series.whole and len(self.wanted.chosen) == len(series)

    @property
    def _start(self) -> int:
        return max(0, self.wanted.slots.start - max(LOOK_BACK_MS, self.window))

    @staticmethod
    def _moment(milliseconds: int) -> str:
        return f"fromUnixTimestamp64Milli(toInt64({milliseconds}), 'UTC')"
