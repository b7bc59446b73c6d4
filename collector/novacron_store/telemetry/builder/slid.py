"""Counts of slots as counts of windows, exactly: of slots that hold something, and these alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_store.telemetry.builder.grid import Slots
from novacron_store.telemetry.distributions import Counts

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Slid:
    """`before` has what all slots before the n-th hold; the slots of a point's window are those
    from `first` to `last`, which is not among them."""

    before: Counts
    first: Places
    last: Places

    @classmethod
    def of(cls, slots: NDArray[Any], counts: Counts, grid: Slots) -> Slid:
        """`counts` of (slots, buckets), where `slots` ascend."""
        begins = np.arange(cls.points(grid)) * grid.per_step
        before = np.concatenate((np.zeros((1, counts.shape[1]), np.int64), counts.cumsum(axis=0)))
        first, last = (np.searchsorted(slots, at) for at in (begins, begins + grid.per_window))
        return cls(before, first, last)

    @staticmethod
    def points(grid: Slots) -> int:
        return 1 + (grid.count - grid.per_window) // grid.per_step

    @property
    def there(self) -> NDArray[np.bool_]:
        """Whether the window of each point has any slot."""
        return np.asarray(self.last > self.first)

    def at(self, points: Places) -> Counts:
        return self.before[self.last[points]] - self.before[self.first[points]]


def nested(column: pa.ChunkedArray, place: int) -> NDArray[Any]:
    """The numbers of a list, or of lists in it, one after the other."""
    values = column[place].values
    while pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        values = values.flatten()
    return np.asarray(values.to_numpy(zero_copy_only=False))
