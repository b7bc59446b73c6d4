"""What slots of time hold of each series: sums, extremes, last values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novacron_store.telemetry.builder.wanted import Part, Wanted

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Partials:
    """Matrices of (rows, slots), NaN where nothing was measured; VALUES: lists, by (row, slot)."""

    of: dict[Part, Floats]
    values: dict[tuple[int, int], list[Floats]]

    def only(self, parts: Collection[Part]) -> Partials:
        return Partials({part: self.of[part] for part in parts if part in self.of}, self.values)

    def __or__(self, later: Partials) -> Partials:
        """Both, of which `later` is of later times."""
        values = {at: [*self.values.get(at, []), *more] for at, more in later.values.items()}
        return Partials(together(self.of, later.of), self.values | values)


def together(one: dict[Part, Floats], two: dict[Part, Floats]) -> dict[Part, Floats]:
    """What is in either of two slots, the second of which is later, as if they were one."""
    none = {part: np.isnan(values) for part, values in one.items()}
    nothing = {part: np.isnan(values) for part, values in two.items()}
    found = {}
    for part, a in one.items():
        b = two[part]
        match part:
            case Part.MIN:
                both = np.minimum(a, b)
            case Part.MAX:
                both = np.maximum(a, b)
            case Part.FIRST:
                both = a
            case Part.LAST | Part.QUANTILE:
                both = b
            case Part.M2:  # Chan, Golub, LeVeque: Updating Formulae, 1979
                n, m = one[Part.COUNT], two[Part.COUNT]
                apart = one[Part.SUM] / n - two[Part.SUM] / m
                both = a + b + apart * apart * (n * m / (n + m))
            case _:
                both = a + b
        found[part] = np.where(none[part], b, np.where(nothing[part], a, both))
    return found


def nothing(wanted: Wanted) -> Partials:
    shape = (wanted.rows, wanted.slots.count)
    return Partials({part: np.full(shape, np.nan) for part in wanted.parts}, {})
