"""What is asked of the store for a Select: which parts of which slots, of which series."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novacron_store.telemetry.builder.grid import Slots
from novacron_store.telemetry.builder.index import MetricSeries


class Part(StrEnum):
    """What a slot can hold. `m2` are squared distances from the slot's mean; `r`, `rr` and `rx` are
    sums of seconds since the slot began, their squares, and their products with the values."""

    COUNT = "n"
    SUM = "s"
    MIN = "lo"
    MAX = "hi"
    FIRST = "first"
    LAST = "last"
    INCREASE = "inc"
    M2 = "m2"
    R = "r"
    RR = "rr"
    RX = "rx"
    QUANTILE = "q"  # of a slot that is a whole window
    VALUES = "all"  # each of them


IN_BUCKETS = {
    Part.COUNT, Part.SUM, Part.MIN, Part.MAX, Part.FIRST, Part.LAST, Part.INCREASE
}  # fmt: skip


class Key(StrEnum):
    """What is told apart while samples are counted: the fewer, the cheaper."""

    SERIES = "series"
    ENTITY = "entity"
    CLASS = "class"
    ALL = "0"


@dataclass(frozen=True, slots=True)
class Wanted:
    """`parts` of the series `chosen` (indices into those of the metrics), each of which is counted
    into one of `rows` rows: `row_of`. `delta` says that values of the metrics are increases."""

    metrics: tuple[str, ...]
    series: MetricSeries
    chosen: NDArray[np.intp]
    rows: int
    row_of: NDArray[np.intp]
    slots: Slots
    parts: tuple[Part, ...]
    delta: bool
    share: float = 0.5

    @property
    def ids(self) -> NDArray[np.uint64]:
        return self.series.ids[self.chosen]

    @property
    def entities(self) -> list[str]:
        """Of which series are chosen."""
        return [
            self.series.entities[code] for code in np.unique(self.series.entity_of[self.chosen])
        ]

    @property
    def key(self) -> Key:
        """The coarsest that still tells rows apart."""
        if self.rows == 1:
            return Key.ALL
        for key, codes in (
            (Key.CLASS, self.series.classes[self.chosen]),
            (Key.ENTITY, self.series.entity_of[self.chosen]),
        ):
            if _decides(codes, self.row_of):
                return key
        return Key.SERIES


def _decides(codes: NDArray[Any], row_of: NDArray[np.intp]) -> bool:
    """Whether series of one code are all counted into one row."""
    order = np.lexsort((row_of, codes))
    same = codes[order][1:] == codes[order][:-1]
    return bool((row_of[order][1:] == row_of[order][:-1])[same].all())
