"""What slots hold, worked out here from samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novacron_store.telemetry.builder.partials import Floats, Partials, nothing
from novacron_store.telemetry.builder.unpacked import Unpacked
from novacron_store.telemetry.builder.wanted import Part, Wanted


def counted(told: Unpacked, wanted: Wanted) -> Partials:
    """The parts of every slot that has samples; all of `told` lie in slots."""
    slots, found = wanted.slots, nothing(wanted)
    if not len(told.times):
        return found
    slot = (told.times - slots.start) // slots.width
    key = wanted.row_of[told.series] * slots.count + slot
    if wanted.rows < len(wanted.chosen):  # several series are counted into one row
        order = np.argsort(key, kind="stable")
        told, key, slot = told.some(order), key[order], slot[order]
    (begins,) = np.nonzero(np.diff(key, prepend=-1))
    passed = (told.times - slots.start - slot * slots.width) / 1000
    counts = np.diff(np.append(begins, len(key)))
    grown = told.values if told.grown is None else told.grown  # then nobody asks for it
    groups = _Groups(told.values, grown, passed, begins, counts, wanted.share)
    for part in wanted.parts:
        if part is Part.VALUES:
            lists = np.split(told.values, begins[1:])
            rows, columns = np.divmod(key[begins], slots.count)
            places = zip(rows.tolist(), columns.tolist(), strict=True)
            found.values = {at: [of] for at, of in zip(places, lists, strict=True)}
        else:
            found.of[part].reshape(-1)[key[begins]] = _OF[part](groups)
    return found


@dataclass(frozen=True, slots=True)
class _Groups:
    """Samples that belong together, one after the other; each group begins at one of `begins`.
    `passed` are seconds since their slot began."""

    values: Floats
    grown: Floats
    passed: Floats
    begins: NDArray[np.intp]
    counts: NDArray[np.intp]
    share: float

    def sum(self, of: Floats) -> Floats:
        return np.asarray(np.add.reduceat(of, self.begins))

    def squares(self) -> Floats:
        """Of the distances from the mean."""
        mean = self.sum(self.values) / self.counts
        return self.sum((self.values - np.repeat(mean, self.counts)) ** 2)

    def quantile(self) -> Floats:
        lists = np.split(self.values, self.begins[1:])
        return np.array([np.quantile(one, self.share) for one in lists])


_OF: dict[Part, Callable[[_Groups], Floats]] = {
    Part.COUNT: lambda of: of.counts.astype(np.float64),
    Part.SUM: lambda of: of.sum(of.values),
    Part.MIN: lambda of: np.minimum.reduceat(of.values, of.begins),
    Part.MAX: lambda of: np.maximum.reduceat(of.values, of.begins),
    Part.FIRST: lambda of: of.values[of.begins],
    Part.LAST: lambda of: of.values[of.begins + of.counts - 1],
    Part.INCREASE: lambda of: of.sum(of.grown),
    Part.M2: _Groups.squares,
    Part.R: lambda of: of.sum(of.passed),
    Part.RR: lambda of: of.sum(of.passed * of.passed),
    Part.RX: lambda of: of.sum(of.passed * of.values),
    Part.QUANTILE: _Groups.quantile,
}
