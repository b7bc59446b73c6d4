"""Metrics as one tidy table for analytics: aligned, with gaps marked, in base units.

    export(client, Export(("vm.cpu.utilization",), start, end, step=300)).to_pandas()

A row for each series and each time. Of series that have a value in the range all have the same
times: the multiples of the step in (start, end]. What a row tells is of the window that ends at its
`time`, [time - step, time), so that tables of ranges that follow one another do not overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from novacron_contract.errors import BadMessage, TooLarge
from novacron_store.telemetry.builder import Index, Over, Query, Select, evaluate, samples
from novacron_store.telemetry.builder.expressions import MAX_METRICS
from novacron_store.telemetry.builder.filters import EVERY, Filter
from novacron_store.telemetry.builder.grid import Grid
from novacron_store.telemetry.exported_series import ExportedSeries, columns_of, select

MAX_ROWS = 5_000_000
MAX_COLUMNS = 200  # of attributes and tags
MAX_RAW_S = 366 * 86400
_BATCH_ROWS = 1 << 18


@dataclass(frozen=True, slots=True)
class Export:
    """Which metrics, of which series, from when to when (Unix seconds), and what of them.

    `step` in seconds; None: the samples as they were sent, those in [start, end).
    `over` None: the average of gauges and of sums that may fall, the rate of counters by second;
    `share` is the quantile's, 0 to 1. Of samples as they were sent there is no function.
    `tags`: labels that are no attributes of the series but said by its resource, such as team.
    """

    metrics: tuple[str, ...]
    start: float
    end: float
    step: float | None
    where: Filter = EVERY
    over: Over | None = None
    tags: tuple[str, ...] = ()
    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Exported:
    """`series` has a row for each series, of dictionary columns; `times` (Unix milliseconds),
    `values` (NaN: a gap) and `counts` have an array for each. `schema` is that of the table."""

    series: pa.Table
    times: list[NDArray[np.int64]]
    values: list[NDArray[np.float64]]
    counts: list[NDArray[np.uint32]] | None
    metadata: Mapping[str, str]

    @property
    def rows(self) -> int:
        return sum(map(len, self.times))

    @property
    def schema(self) -> pa.Schema:
        fields = [pa.field("time", pa.timestamp("ms", "UTC")), *self.series.schema,
                  pa.field("value", pa.float64())]  # fmt: skip
        if self.counts is not None:
            fields.append(pa.field("count", pa.uint32()))
        return pa.schema(fields, dict(self.metadata))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The table piece by piece, so that it need not be in memory as a whole."""
        ends = np.cumsum([len(times) for times in self.times])
        first = 0
        while first < len(ends):
            done = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, done + _BATCH_ROWS, "right")))
            yield self._batch(slice(first, last))
            first = last

    def table(self) -> pa.Table:
        return pa.Table.from_batches(self.batches(), self.schema)

    def _batch(self, part: slice) -> pa.RecordBatch:
        times = np.concatenate(self.times[part])
        values = np.concatenate(self.values[part])
        lengths = [len(one) for one in self.times[part]]
        of = pa.array(np.repeat(np.arange(len(self.times))[part], lengths))
        arrays = [
            pa.array(times).cast(pa.timestamp("ms", "UTC")),
            *(_repeated(column, of) for column in self.series.columns),
            pa.array(values, mask=np.isnan(values)),
        ]
        if self.counts is not None:
            arrays.append(pa.array(np.concatenate(self.counts[part])))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def export(
    client: Client, asked: Export, index: Index | None = None, max_rows: int = MAX_ROWS
) -> pa.Table:
    """The table that `asked` describes, ordered by metric (as asked), series and time.

    Columns: `time` (timestamp, ms, UTC), `metric` and `entity`, one for each attribute that a
    selected series has (null where another has none) and for each of the tags, `unit` (UCUM, a base
    unit), `value` (null: a gap), and `count`, the samples of the window (0: a gap; not of samples
    as they were sent). All but time, value and count are dictionaries of strings. An attribute
    called like one of these columns, or `attribute.…`, has `attribute.` before its name.

    Raises:
        NotFound: a metric that nobody ever sent.
        BadMessage: a range, a step, a function or a metric that makes no sense here.
        TooLarge: more than `max_rows`, or than the builder's limits of points and series.
    """
    return exported(client, asked, index, max_rows).table()


def exported(
    client: Client, asked: Export, index: Index | None = None, max_rows: int = MAX_ROWS
) -> Exported:
    """The same, to be had in pieces; nothing is asked of the store any more then."""
    metrics = tuple(dict.fromkeys(asked.metrics))
    if not 1 <= len(metrics) <= MAX_METRICS:
        raise BadMessage(f"{len(metrics)} metrics: expected 1 to {MAX_METRICS}")
    grid = None if asked.step is None else _grid(asked, asked.step)
    if grid is None:
        _require_range(asked)
    index = index or Index()
    every = [select(client, index, metric, asked.where) for metric in metrics]
    _require_few_columns(asked, every)
    if grid is None:
        parts = _samples(client, asked, every, max_rows)
    else:
        _require_few_rows(every, grid, max_rows)
        parts = [_windows(client, asked, one, grid) for one in every]
    return Exported(
        columns_of([(part.of, part.rows, part.units) for part in parts], asked.tags),
        [times for part in parts for times in part.times],
        [values for part in parts for values in part.values],
        None if grid is None else [counts for part in parts for counts in part.counts],
        _metadata(asked, grid),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """Of one metric: the places of its series among those selected, their units, their rows."""

    of: ExportedSeries
    rows: NDArray[np.intp]
    units: list[str]
    times: list[NDArray[np.int64]]
    values: list[NDArray[np.float64]]
    counts: list[NDArray[np.uint32]]


def _grid(asked: Export, step: float) -> Grid:
    """The multiples of the step in (start, end]."""
    width = round(step * 1000)
    if width < 1:
        raise BadMessage(f"a step of {step} s: expected 0.001 s or more")
    first = round(asked.start * 1000) // width * width + width
    last = round(asked.end * 1000) // width * width
    if last < first:
        raise BadMessage(f"no window of {step:g} s ends in the range: take a smaller step")
    return Grid.between(first / 1000, last / 1000, width / 1000)


def _require_range(asked: Export) -> None:
    if asked.over is not None:
        raise BadMessage(f"{asked.over} is of windows: samples as they were sent have none")
    if not 0.001 <= asked.end - asked.start <= MAX_RAW_S:
        raise BadMessage("samples as they were sent: expected a range of 0.001 s to 366 days")


def _require_few_columns(asked: Export, every: list[ExportedSeries]) -> None:
    """Senders choose what attributes are called, and how many names there are."""
    names = {name for one in every for name in one.attribute_names()} | set(asked.tags)
    if len(names) > MAX_COLUMNS:
        raise TooLarge(
            f"{len(names)} attributes and tags: expected {MAX_COLUMNS} or fewer, of which each is "
            "a column; ask for fewer metrics, or for series by their labels"
        )


def _require_few_rows(every: list[ExportedSeries], grid: Grid, most: int) -> None:
    series = sum(map(len, every))
    rows = series * grid.points
    if rows > most:
        raise TooLarge(
            f"{rows} rows: {series} series of {grid.points} times; expected {most} or fewer: ask "
            "for a larger step, a shorter range or fewer series"
        )


def _windows(client: Client, asked: Export, of: ExportedSeries, grid: Grid) -> _Part:
    over = asked.over or (Over.RATE if of.info.is_counter else Over.AVG)
    found = _evaluate(client, asked, of, grid, over)
    # Counted later: what a value was made of is there by now.
    counted = found if over is Over.COUNT else _evaluate(client, asked, of, grid, Over.COUNT)
    places = of.in_order(list(found))
    units, factors = of.units(client, places, over)
    none = np.full(grid.points, np.nan)
    times = grid.start + grid.step * np.arange(grid.points, dtype=np.int64)
    return _Part(
        of,
        places,
        units,
        [times] * len(places),
        [_scaled(found[at], factor) for at, factor in zip(places, factors, strict=True)],
        [np.nan_to_num(counted.get(at, none)).astype(np.uint32) for at in places],
    )


def _evaluate(
    client: Client, asked: Export, of: ExportedSeries, grid: Grid, over: Over
) -> dict[int, NDArray[np.float64]]:
    """The values of each series that has any, by its place."""
    if not len(of):
        return {}
    select = Select(of.metric, over, of.where, argument=asked.share)
    last = grid.start + grid.step * (grid.points - 1)
    query = Query(select, grid.start / 1000, last / 1000, grid.step / 1000)
    answer = evaluate(client, query, of.index)
    return {of.place(labels): row for labels, row in zip(answer.labels, answer.values, strict=True)}


def _samples(client: Client, asked: Export, every: list[ExportedSeries], most: int) -> list[_Part]:
    parts: list[_Part] = []
    for one in every:
        parts.append(_samples_of(client, asked, one, most))
        most -= sum(map(len, parts[-1].times))
    return parts


def _samples_of(client: Client, asked: Export, of: ExportedSeries, most: int) -> _Part:
    found = samples(client, (of.metric,), asked.start, asked.end, of.where, of.index, most)
    row_of = {of.place(labels): row for row, labels in enumerate(found.labels)}
    places = of.in_order(list(row_of))
    units, factors = of.units(client, places, None)
    rows = [row_of[at] for at in places]
    values = [_scaled(found.values[row], x) for row, x in zip(rows, factors, strict=True)]
    return _Part(of, places, units, [found.times[row] for row in rows], values, [])


def _scaled(values: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    return values if factor == 1 else values * factor


def _repeated(column: pa.ChunkedArray, of: pa.Array) -> pa.Array:
    (one,) = column.chunks
    return pa.DictionaryArray.from_arrays(one.indices.take(of), one.dictionary)


def _metadata(asked: Export, grid: Grid | None) -> dict[str, str]:
    """So that a file tells what it has."""
    if grid is None:
        span, step, over = (asked.start, asked.end), "", "samples as they were sent"
    else:
        last = grid.start + grid.step * (grid.points - 1)
        span, step = ((grid.start - grid.step) / 1000, last / 1000), f"{grid.step / 1000:g}"
        over = asked.over or "avg; of counters rate"
    told = [datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds") for time in span]
    return {"novacron.from": told[0], "novacron.to": told[1], "novacron.step_s": step,
            "novacron.over": str(over)}  # fmt: skip
