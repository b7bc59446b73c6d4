"""The newest value of each series, in arrays: a commit updates them without a loop over points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_collector.otlp.columns import Ids, SeriesIndex
from novacron_store.telemetry.batch import Batch

Slots = NDArray[np.int64]
Series = tuple[str, str, dict[str, str]]  # metric, entity, attributes


class Newest:
    """Bounded: series that come when `capacity` are known are left out."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._index = SeriesIndex()
        self.series: list[Series] = []  # by slot
        self.ts: Slots = np.zeros(0, np.int64)
        self.value: NDArray[np.float64] = np.zeros(0, np.float64)

    def update(self, batch: Batch) -> Slots:
        """Take in a commit; the slots whose newest value it changed."""
        if described := batch.tables.get("series"):
            self._add(described)
        changed = np.zeros(len(self.series), np.bool_)  # marks in place of sorting
        if len(self.series):
            for series, ts, value in _numbers(batch):
                changed[self._advance(series, ts, value)] = True
        return np.flatnonzero(changed)

    def _add(self, described: pa.Table) -> None:
        columns = ("series", "metric", "entity", "attributes")
        rows = zip(*(described[name].to_pylist() for name in columns), strict=True)
        fresh = {row[0]: (row[1], row[2], dict(row[3])) for row in rows}
        ids = np.array(list(fresh), np.uint64)
        ids = ids[~self._index.find(ids)[1]][: self._capacity - len(self.series)]
        slots = np.arange(len(self.series), len(self.series) + len(ids), dtype=np.uint64)
        self._index.add(ids, slots)
        self.series += [fresh[series] for series in ids.tolist()]
        self.ts = np.concatenate((self.ts, np.zeros(len(ids), np.int64)))
        self.value = np.concatenate((self.value, np.full(len(ids), np.nan)))

    def _advance(self, series: Any, ts: Slots, value: NDArray[np.float64]) -> Slots:
        """The slots of what is newer than what was known."""
        found, newer = self._index.find(series)
        slots = found.view(np.int64)
        slots[~newer] = 0  # any that is there: of an unknown series nothing is taken
        newer &= ts > self.ts[slots]
        if not newer.all():
            slots, ts, value = slots[newer], ts[newer], value[newer]
        self.ts[slots] = ts
        if (self.ts[slots] != ts).any():  # several of one series
            np.maximum.at(self.ts, slots, ts)
            newest = ts == self.ts[slots]
            self.value[slots[newest]] = value[newest]
        else:
            self.value[slots] = value
        return slots

    def point(self, slot: int) -> tuple[Any, ...]:
        """As it is sent; the value of a series that ended is null."""
        return (*self.series[slot], int(self.ts[slot]), float(self.value[slot]))


def _numbers(batch: Batch) -> Iterator[tuple[Ids, Slots, NDArray[np.float64]]]:
    """Series, times and values, some at a time."""
    if samples := batch.tables.get("samples"):
        for chunk in samples.select(["series", "ts", "value"]).to_batches():
            ts = chunk["ts"].view(pa.int64())
            yield chunk["series"].to_numpy(), ts.to_numpy(), chunk["value"].to_numpy()
    if arrivals := batch.tables.get("arrivals"):
        for chunk in arrivals.select(["ids", "ts", "numbers"]).to_batches():
            ts = chunk["ts"].view(pa.int64()).to_numpy()
            sizes = chunk["ids"].value_lengths().to_numpy()
            ids, numbers = (chunk[name].flatten().to_numpy() for name in ("ids", "numbers"))
            yield ids, np.repeat(ts, sizes), numbers
