"""How many series may be stored: of one entity, of one metric, and in all.

A new series beyond one of the three is not stored: its points are rejected with the reason, so that
the sender is told how many they were and which setting allows more. What was turned away is also a
series of its own (`overflow.py`), for charts and alerts.

Others do it in one of three ways. An OpenTelemetry SDK sums what is beyond its limit into a series
with `otel.metric.overflow`; it can, as it aggregates measurements itself, whereas of the cumulative
values of many series that come and go no true sum can be made here. VictoriaMetrics drops and
counts. Mimir refuses and says which limit it was. This is Mimir's way, with OpenTelemetry's
attribute on the count of what was refused: a number of points, and never a value under the name of
the metric, where it would be taken for one of its values.

The entity stands for the sender until senders are authenticated; as anybody may name entities, the
limits on a metric and on all of them hold whoever is said to have sent it.

A series has its place until nothing of it came for `series_idle`, or twice that long at most:
places are kept for those of this window of time and of the one before. After a restart the places
are taken anew by the series that report, so that one which reports rarely may find its place taken.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter

import numpy as np

from novacron_collector.otlp.identity import Entity
from novacron_collector.otlp.limits import PointLimits, Reason

_MERGE_AT = 4096  # ids that are looked up in a set before they are merged into the sorted array


class SeriesQuota:
    """Serves one thread; holds 16 bytes for a series, and what a name costs for entity and metric.

    `total`: series in all.
    """

    def __init__(self, limits: PointLimits, total: int) -> None:
        self._limits = limits
        self._total = total
        self._since: int | None = None
        self._held = _Counts()  # who has a place: seen in this window or in the one before
        self._seen = _Counts()  # in this window
        self._before = _Ids()
        self._now = _Ids()
        self.window = 0  # what was admitted in another window must be admitted again

    def advance(self, now: int) -> None:
        """Before a write at `now`, in unix milliseconds: places of idle series become free."""
        if self._since is not None and 0 <= now - self._since < self._limits.series_idle * 1000:
            return
        if self._since is not None:
            self._held, self._seen = self._seen, _Counts()
            self._before, self._now = self._now, _Ids()
        self._since = now
        self.window += 1

    def admit(self, series: int, entity: Entity, metric: str) -> Reason | None:
        """Why the series may not be stored, or None: it has a place now."""
        if series in self._now:
            return None
        if series not in self._before:
            reason = self._full(entity.name, metric)
            if reason is not None:
                return reason
            self._held.add(entity.name, metric)
        self._now.add(series)
        self._seen.add(entity.name, metric)
        return None

    def _full(self, entity: str, metric: str) -> Reason | None:
        held, limits = self._held, self._limits
        if held.entities[entity] >= limits.max_series_per_entity:
            return Reason.ENTITY_FULL
        if held.metrics[metric] >= limits.max_series_per_metric:
            return Reason.METRIC_FULL
        return Reason.STORE_FULL if held.total >= self._total else None


class _Counts:
    def __init__(self) -> None:
        self.entities: Counter[str] = Counter()
        self.metrics: Counter[str] = Counter()
        self.total = 0

    def add(self, entity: str, metric: str) -> None:
        self.entities[entity] += 1
        self.metrics[metric] += 1
        self.total += 1


class _Ids:
    """A set of 64-bit numbers in about 8 bytes each, where Python's own takes 90."""

    def __init__(self) -> None:
        self._sorted = array("Q")
        self._recent: set[int] = set()

    def __contains__(self, number: int) -> bool:
        if number in self._recent:
            return True
        at = bisect_left(self._sorted, number)
        return at < len(self._sorted) and self._sorted[at] == number

    def add(self, number: int) -> None:
        """`number` is not in it yet."""
        self._recent.add(number)
        if len(self._recent) > max(_MERGE_AT, len(self._sorted) // 8):
            self._merge()

    def _merge(self) -> None:
        both = np.concatenate(
            (np.array(self._sorted, np.uint64), np.array(list(self._recent), np.uint64))
        )
        both.sort()
        self._sorted = array("Q", both.tobytes())
        self._recent.clear()
