"""Series by the numbers of their parts: what was met before is found without looking at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from novacron_collector.otlp.catalog import Catalog
from novacron_collector.otlp.columns import Codes, Ids, SeriesIndex
from novacron_collector.otlp.identity import series_id
from novacron_collector.otlp.parts import Metrics, Parts, Points
from novacron_collector.otlp.quota import SeriesQuota
from novacron_collector.otlp.values import REASON_CODES


class Found(NamedTuple):
    """Columns over points: their series, and the code of the reason why it has no place or 0."""

    series: Ids
    reasons: Codes


class _New(NamedTuple):
    """A key never met, sorted as it was sent: who comes first has the place."""

    metric: int
    row: int
    key: int
    attributes: int


class KnownSeries:
    """Series that have a place, and those that were told they have none."""

    def __init__(self, catalog: Catalog, quota: SeriesQuota) -> None:
        self._catalog = catalog
        self._quota = quota
        self.forget()

    def __len__(self) -> int:
        return len(self._placed) + len(self._turned_away)

    def forget(self) -> None:
        self._placed = SeriesIndex()
        self._turned_away = SeriesIndex()  # from keys to codes of reasons
        self._window = self._quota.window

    def advance(self, now: int) -> bool:
        """Before a write at `now`, in unix milliseconds; is who has a place to be found anew?"""
        self._quota.advance(now)
        if self._window == self._quota.window:
            return False
        self.forget()
        return True

    def find(
        self, every: Sequence[Points], parts: Parts, metrics: Metrics, now: int
    ) -> list[Found]:
        """The series of each point; one never met is admitted and described, or turned away.

        Raises:
            OddMessageError: there are more different parts than a key can tell apart.
        """
        keys = [parts.keys(points, metrics) for points in every]
        found = [self._find(some) for some in keys]
        new: list[_New] = []
        for points, some, (_, known) in zip(every, keys, found, strict=True):
            new += _unmet(points, some, known)
        if new:
            self._add(sorted(new), parts, metrics, now)
            found = [self._find(some) for some in keys]
        return [some for some, _ in found]

    def _find(self, keys: Ids) -> tuple[Found, NDArray[np.bool_]]:
        series, placed = self._placed.find(keys)
        reasons = np.zeros(len(keys), np.int64)
        if placed.all():
            return Found(series, reasons), placed
        codes, turned_away = self._turned_away.find(keys[~placed])
        reasons[~placed] = codes
        known = placed.copy()
        known[~placed] = turned_away
        return Found(series, reasons), known

    def _add(self, new: Sequence[_New], parts: Parts, metrics: Metrics, now: int) -> None:
        placed: dict[int, int] = {}
        turned_away: dict[int, int] = {}
        for one in new:
            entity, stream = parts.source_of(metrics, one.metric)
            labels = parts.attributes.values[one.attributes]
            series = series_id(entity, stream, labels)
            reason = self._quota.admit(series, entity, stream.metric)
            if reason is None:
                self._catalog.describe_series(series, entity, stream, labels, now)
                placed[one.key] = series
            else:
                turned_away[one.key] = REASON_CODES[reason]
        for index, some in ((self._placed, placed), (self._turned_away, turned_away)):
            if some:
                keys = sorted(some)
                values = [some[key] for key in keys]
                index.add(np.array(keys, np.uint64), np.array(values, np.uint64))


def _unmet(points: Points, keys: Ids, known: NDArray[np.bool_]) -> list[_New]:
    if known.all():
        return []
    fresh, first = np.unique(keys[~known], return_index=True)
    rows = np.flatnonzero(~known)[first]
    columns = (points.of_metric[rows], rows, fresh, points.attributes[rows])
    return [_New(*one) for one in zip(*(column.tolist() for column in columns), strict=True)]
