"""Counts of measurements by size. One thread measures, another reads."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)


def bounds(low: int, high: int) -> tuple[float, ...]:
    """Six per decade from 10^low to 10^high: a quantile is told within a third of its value."""
    every = [float(f"{step}e{power}") for power in range(low, high) for step in _STEPS]
    return (*every, 10.0**high)


SECONDS = bounds(-4, 2)
POINTS = bounds(0, 6)


@dataclass(frozen=True, slots=True)
class Counted:
    """`buckets`: as many as `bounds`, each of which belongs to the bucket below it, and one."""

    bounds: tuple[float, ...]
    buckets: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        return sum(self.buckets)


class Histogram:
    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._buckets = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        with self._lock:
            self._buckets[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def counted(self) -> Counted:
        with self._lock:
            return Counted(self._bounds, tuple(self._buckets), self._sum)
