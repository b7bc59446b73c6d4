"""From an expression to values at points of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from novacron_contract.errors import BadMessage, TooLarge
from novacron_store.telemetry.builder import histograms, windows
from novacron_store.telemetry.builder.collect import collect
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
from novacron_store.telemetry.builder.filters import only
from novacron_store.telemetry.builder.grid import Grid, Slots
from novacron_store.telemetry.builder.groups import aggregate, arithmetic, groups, leading, paired
from novacron_store.telemetry.builder.index import Index, MetricSeries, matcher
from novacron_store.telemetry.builder.lists import table
from novacron_store.telemetry.builder.partials import Partials
from novacron_store.telemetry.builder.plan import (
    Plan,
    Source,
    is_pushed,
    longer,
    slots_of,
    window_of,
)
from novacron_store.telemetry.builder.thin import Line, thin
from novacron_store.telemetry.builder.wanted import IN_BUCKETS, Part, Wanted
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.progress import Progress, Resolution

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Limits:
    series: int = 50_000  # of one Select
    values: int = 20_000_000  # rows times slots
    quantiles: int = 1_000_000  # of windows that overlap: these are worked out one by one
    counts: int = 20_000_000  # of histograms: samples times buckets
    few: int = 600  # hours of series: up to so many it is cheaper to ask for the samples


@dataclass(frozen=True, slots=True)
class Query:
    """`start`, `end` and `step` in (Unix) seconds; a point is told for each step from start to end.

    `resolution` None: the coarsest that says the same; where samples are gone and a step is too
    fine for buckets there are gaps.
    `as_of`: the tags of that time, and not of now.
    """

    of: Expression
    start: float
    end: float
    step: float
    resolution: Resolution | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to the store, for --explain."""

    sql: str
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """`values` of (series, times), NaN where there is none; `times` in Unix milliseconds."""

    labels: list[dict[str, str]]
    times: NDArray[np.int64]
    values: Floats
    resolution: Resolution
    asked: list[Asked] = field(default_factory=list)

    def to_arrow(self) -> pa.Table:
        """A row for each series: labels (a map), times (ms, UTC) and values, gaps left out."""
        there = ~np.isnan(self.values)
        times = np.broadcast_to(self.times, self.values.shape)[there]
        return table(self.labels, there.sum(axis=1), times, self.values[there])

    def thinned(self, pixels: int) -> list[Line]:
        """For drawing that wide: of each series at most so many values, and a NaN in each gap."""
        return [
            Line(labels, *thin(self.times, values, pixels))
            for labels, values in zip(self.labels, self.values, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Vector:
    """Values of (rows, points); `names` are the labels that rows are known by."""

    values: Floats
    names: Sequence[str]
    label: Callable[[str], Sequence[str]]

    def labels(self) -> list[dict[str, str]]:
        columns = [(name, self.label(name)) for name in self.names]
        return [
            {name: column[row] for name, column in columns if column[row]}
            for row in range(len(self.values))
        ]


def evaluate(
    client: Client, query: Query, index: Index | None = None, limits: Limits | None = None
) -> Answer:
    """Answer `query`.

    Raises:
        NotFound: a metric that nobody ever sent.
        BadMessage: an expression, a range or a step that makes no sense.
        TooLarge: more points, series or values than `limits` allow.
    """
    grid = Grid.between(query.start, query.end, query.step)
    index = index or Index()
    with contract_errors():
        known = index.progress(client)
        plan = Plan(query.of, grid, known.borders.closed)
        run = _Run(client, query, index, limits or Limits(), known, plan)
        found = run.vector(query.of, grid)
    (shown,) = np.nonzero((~np.isnan(found.values)).any(axis=1))
    every = found.labels()
    labels = [every[row] for row in shown]
    times = grid.start + grid.step * np.arange(grid.points, dtype=np.int64)
    used = min(run.used, key=list(Resolution).index, default=Resolution.RAW)
    return Answer(labels, times, found.values[shown], used, run.asked)


@dataclass(slots=True)
class _Run:
    client: Client
    query: Query
    index: Index
    limits: Limits
    known: Progress
    plan: Plan
    asked: list[Asked] = field(default_factory=list)
    used: set[Resolution] = field(default_factory=set)

    def vector(self, of: Expression, grid: Grid) -> Vector:
        match of:
            case Scalar():
                return Vector(np.full((1, grid.points), of.value), (), lambda _: [""])
            case Select():
                return self._select(of, grid, None)
            case HistogramQuantile():
                return self._histogram(of, grid)
            case Aggregate():
                return self._aggregate(of, grid)
            case Smooth():
                inner = self.vector(of.of, longer(of, grid))
                return Vector(windows.smooth(inner.values, of.points), inner.names, inner.label)
            case Binary():
                return self._binary(of, grid)

    def _binary(self, of: Binary, grid: Grid) -> Vector:
        left, right = (self.vector(side, grid) for side in (of.left, of.right))
        if isinstance(of.right, Scalar):
            return Vector(arithmetic(of.op, left.values, right.values), left.names, left.label)
        if isinstance(of.left, Scalar):
            values = arithmetic(of.op, left.values, right.values)
            return Vector(values, right.names, right.label)
        rows = paired(left.labels(), right.labels(), of.on)
        mine, theirs = ([pair[side] for pair in rows] for side in (0, 1))
        values = arithmetic(of.op, left.values[mine], right.values[theirs])
        names = left.names if of.on is None else of.on
        return Vector(values, names, lambda name: [left.label(name)[row] for row in mine])

    def _aggregate(self, of: Aggregate, grid: Grid) -> Vector:
        if isinstance(of.of, Select) and is_pushed(of):
            return self._select(of.of, grid, of.by)
        inner = self.vector(of.of, grid)
        if of.how in (How.TOP, How.BOTTOM):
            row_of, _ = groups([inner.label(name) for name in of.by], len(inner.values))
            values = leading(inner.values, row_of, of)
            return Vector(values, inner.names, inner.label)
        row_of, first = groups([inner.label(name) for name in of.by], len(inner.values))
        values = aggregate(inner.values, row_of, len(first), of)
        return Vector(values, of.by, lambda name: [inner.label(name)[row] for row in first])

    def _select(self, of: Select, grid: Grid, by: tuple[str, ...] | None) -> Vector:
        """Its series; with `by`, what those of equal labels `by` add up to."""
        entity = only(of.where, "entity")
        series = self.index.series(self.client, of.metrics, self.query.as_of, entity)
        histograms.require_numbers(series.metrics)
        for info in series.metrics:
            if of.over in (Over.INCREASE, Over.RATE) and not info.is_counter:
                raise BadMessage(
                    f"{info.metric} is no counter, it has no {of.over}: take delta or derivative"
                )
        if len({info.temporality == "delta" for info in series.metrics}) > 1:
            raise BadMessage(
                "cumulative and delta metrics are not asked together: ask for each, and add these"
            )
        chosen = self._chosen(of, series)
        if by is None:
            row_of, rows = np.arange(len(chosen)), list(range(len(chosen)))
        else:
            row_of, rows = groups([_of(series, name, chosen) for name in by], len(chosen))
        values = self._windows(of, grid, by, series, chosen, row_of, len(rows))
        first = chosen[rows]
        own = ["metric", "entity"] if isinstance(of.metric, tuple) else ["entity"]
        names = [*series.attribute_names(chosen), *own] if by is None else by
        return Vector(values, names, lambda name: _of(series, name, first))

    def _histogram(self, of: HistogramQuantile, grid: Grid) -> Vector:
        series = self.index.series(self.client, of.metrics, self.query.as_of)
        histograms.require_histograms(series.metrics)
        chosen = self._chosen(of, series)
        row_of, rows = groups([_of(series, name, chosen) for name in of.by], len(chosen))
        slots = self._slots(of, grid, len(rows))
        wanted = Wanted(of.metrics, series, chosen, len(rows), row_of, slots, (Part.VALUES,),
                        False, of.argument)  # fmt: skip
        self.used.add(self._resolution(slots, wanted.parts))
        values = np.empty((0, grid.points))
        if len(chosen):
            window = window_of(of, grid)
            values = histograms.quantiles(self._ask, wanted, window, self.limits.counts)
        first = chosen[rows]
        return Vector(values, of.by, lambda name: _of(series, name, first))

    def _chosen(self, of: Select | HistogramQuantile, series: MetricSeries) -> NDArray[np.intp]:
        (chosen,) = np.nonzero(series.choose(of.where, matcher(self.client)))
        if len(chosen) > self.limits.series:
            raise TooLarge(
                f"{len(chosen)} series of {', '.join(of.metrics)[:200]}: expected "
                f"{self.limits.series} or fewer; ask for some of them by their labels"
            )
        return chosen

    def _slots(self, of: Select | HistogramQuantile, grid: Grid, rows: int) -> Slots:
        slots = slots_of(of, grid)
        if rows * slots.count > self.limits.values:
            raise TooLarge(
                f"{rows} series of {slots.count} slots: expected {self.limits.values} values or "
                "fewer; take a larger step or fewer series"
            )
        return slots

    def _windows(
        self,
        of: Select,
        grid: Grid,
        by: tuple[str, ...] | None,
        series: MetricSeries,
        chosen: NDArray[np.intp],
        row_of: NDArray[np.intp],
        rows: int,
    ) -> Floats:
        slots = self._slots(of, grid, rows)
        parts = windows.parts_of(of.over, slots, self.known.borders.closed)
        if Part.VALUES in parts and rows * grid.points > self.limits.quantiles:
            raise TooLarge(
                f"{rows * grid.points} quantiles of windows that overlap: expected "
                f"{self.limits.quantiles} or fewer; take a window as long as the step"
            )
        if not len(chosen):
            return np.empty((0, grid.points))
        source = Source.of(of, slots, by, parts)
        delta = series.metrics[0].temporality == "delta"
        wanted = Wanted(of.metrics, series, chosen, rows, row_of, slots, self.plan.parts(source),
                        delta, of.argument)  # fmt: skip
        found = self.plan.take(source, lambda: self._collect(wanted)).only(parts)
        return windows.combine(of, found, slots, window_of(of, grid) / 1000)

    def _collect(self, wanted: Wanted) -> Partials:
        resolution = self._resolution(wanted.slots, wanted.parts)
        self.used.add(resolution)
        few, hours = self.limits.few, self.index.hours
        return collect(self._ask, wanted, self.known.borders, resolution, few, hours)

    def _resolution(self, slots: Slots, parts: tuple[Part, ...]) -> Resolution:
        """The coarsest that says the same as samples."""
        exact = [Resolution.RAW]
        if IN_BUCKETS.issuperset(parts):
            exact += [r for r, s in ((Resolution.FIVE_MINUTES, 300), (Resolution.HOUR, 3600))
                      if slots.whole(s)]  # fmt: skip
        wanted = self.query.resolution
        if wanted is None:
            return exact[-1]
        if wanted not in exact:
            raise BadMessage(f"{wanted} does not say the same as samples: take a coarser step")
        return wanted

    def _ask(self, sql: str, parameters: dict[str, Any]) -> pa.Table:
        began = time.monotonic()
        rows = self.client.query_arrow(sql, parameters=parameters, use_strings=True)
        self.asked.append(Asked(sql, rows.num_rows, time.monotonic() - began))
        return rows


def _of(series: MetricSeries, name: str, rows: NDArray[np.intp]) -> list[str]:
    codes, values = series.label(name)
    return [values[code] for code in codes[rows]]
