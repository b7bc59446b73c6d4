"""Which Selects of an expression are asked in one statement.

The average and the maximum of the same series cost hardly more than either does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from novacron_contract.errors import BadMessage
from novacron_store.telemetry.builder.expressions import (
    Aggregate,
    Binary,
    Expression,
    HistogramQuantile,
    How,
    Over,
    Scalar,
    Select,
    Smooth,
)
from novacron_store.telemetry.builder.filters import Filter
from novacron_store.telemetry.builder.grid import Grid, Slots
from novacron_store.telemetry.builder.partials import Partials
from novacron_store.telemetry.builder.wanted import IN_BUCKETS, Part
from novacron_store.telemetry.builder.windows import parts_of

MAX_DEPTH = 20
# Adding up series before or after their windows is the same.
_PUSHED = {
    (How.SUM, Over.SUM),
    (How.SUM, Over.COUNT),
    (How.SUM, Over.INCREASE),
    (How.SUM, Over.RATE),
    (How.MIN, Over.MIN),
    (How.MAX, Over.MAX),
}


@dataclass(frozen=True, slots=True)
class Source:
    """What can be asked in one statement: Selects that differ only in what they make of it."""

    metrics: tuple[str, ...]
    where: Filter
    slots: Slots
    by: tuple[str, ...] | None
    alone: tuple[Over, float] | None  # what buckets cannot tell is asked by itself

    @classmethod
    def of(
        cls, of: Select, slots: Slots, by: tuple[str, ...] | None, parts: Sequence[Part]
    ) -> Source:
        """Of a Select that needs `parts`."""
        alone = None if IN_BUCKETS.issuperset(parts) else (of.over, of.argument)
        return cls(of.metrics, of.where, slots, by, alone)


class Plan:
    """Of an expression whose points are `grid`, where hours are closed up to a time (Unix seconds).

    Raises:
        BadMessage, TooLarge: a range, a window or a nesting that makes no sense.
    """

    def __init__(self, of: Expression, grid: Grid, closed: int) -> None:
        self._waiting: Counter[Source] = Counter()
        self._parts: dict[Source, tuple[Part, ...]] = {}
        self._found: dict[Source, Partials] = {}
        for select, points, by in _selects(of, grid):
            slots = slots_of(select, points)
            parts = parts_of(select.over, slots, closed)
            source = Source.of(select, slots, by, parts)
            self._waiting[source] += 1
            self._parts[source] = tuple(dict.fromkeys((*self.parts(source), *parts)))

    def parts(self, source: Source) -> tuple[Part, ...]:
        """What all who share it need."""
        return self._parts.get(source, ())

    def take(self, source: Source, ask: Callable[[], Partials]) -> Partials:
        """Asked for once, and kept until the last who needs it has it."""
        found = self._found.pop(source, None) or ask()
        self._waiting[source] -= 1
        if self._waiting[source]:
            self._found[source] = found
        return found


def _selects(
    of: Expression, grid: Grid, by: tuple[str, ...] | None = None, depth: int = 0
) -> Iterator[tuple[Select, Grid, tuple[str, ...] | None]]:
    """Every Select of an expression, the points it is told for, and by which labels its series are
    added up."""
    if depth > MAX_DEPTH:
        raise BadMessage(f"expressions are nested deeper than {MAX_DEPTH}")
    match of:
        case Select():
            yield of, grid, by
        case Aggregate():
            yield from _selects(of.of, grid, of.by if is_pushed(of) else None, depth + 1)
        case Smooth():
            yield from _selects(of.of, longer(of, grid), None, depth + 1)
        case Binary():
            for side in (of.left, of.right):
                yield from _selects(side, grid, None, depth + 1)
        case HistogramQuantile() | Scalar():
            pass  # histograms are asked one by one


def longer(of: Smooth, grid: Grid) -> Grid:
    """The points of which a mean is made, too."""
    before = of.points - 1
    return Grid(grid.start - grid.step * before, grid.step, grid.points + before)


def window_of(of: Select | HistogramQuantile, grid: Grid) -> int:
    """In milliseconds."""
    return grid.step if of.window is None else round(of.window * 1000)


def slots_of(of: Select | HistogramQuantile, grid: Grid) -> Slots:
    before = 1 if isinstance(of, Select) and of.over is Over.DELTA else 0
    return grid.slots(window_of(of, grid), round(of.offset * 1000), before)


def is_pushed(of: Aggregate) -> bool:
    """Whether series may be added up before their windows are made."""
    return isinstance(of.of, Select) and (of.how, of.of.over) in _PUSHED
