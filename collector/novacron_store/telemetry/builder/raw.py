"""Samples as they were sent, of any series: for those who calculate by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from novacron_contract.errors import BadMessage, TooLarge
from novacron_store.telemetry.builder import sources
from novacron_store.telemetry.builder.filters import EVERY, Filter
from novacron_store.telemetry.builder.grid import Slots
from novacron_store.telemetry.builder.index import Index, matcher
from novacron_store.telemetry.builder.wanted import Wanted
from novacron_store.telemetry.client import contract_errors

MAX_SAMPLES = 20_000_000
# Of a series in one hour: the id, times and values.
Piece = tuple[int, NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Samples:
    """A series each: its labels, times (Unix milliseconds, in order) and values."""

    labels: list[dict[str, str]]
    times: list[NDArray[np.int64]]
    values: list[NDArray[np.float64]]

    def to_arrow(self) -> pa.Table:
        """A row for each series: labels (a map), times (ms, UTC) and values."""
        offsets = np.cumsum([0, *map(len, self.times)]).astype(np.int32)
        times = pa.array(np.concatenate(self.times or [np.empty(0, np.int64)]))
        values = pa.array(np.concatenate(self.values or [np.empty(0)]))
        labels = [list(one.items()) for one in self.labels]
        return pa.table({
            "labels": pa.array(labels, pa.map_(pa.string(), pa.string())),
            "times": pa.ListArray.from_arrays(offsets, times.cast(pa.timestamp("ms", "UTC"))),
            "values": pa.ListArray.from_arrays(offsets, values),
        })  # fmt: skip


def samples(
    client: Client,
    metrics: Sequence[str],
    start: float,
    end: float,
    where: Filter = EVERY,
    index: Index | None = None,
) -> Samples:
    """All samples in [start, end), Unix seconds. Of several metrics, labels have `metric`.

    Raises:
        NotFound: a metric that nobody ever sent.
        BadMessage: an empty range, or a condition that makes no sense.
        TooLarge: more than MAX_SAMPLES.
    """
    first, last = round(start * 1000), round(end * 1000)
    if last <= first:
        raise BadMessage("the range is empty: its end is not after its start")
    index = index or Index()
    with contract_errors():
        series = index.series(client, metrics)
        (chosen,) = np.nonzero(series.choose(where, matcher(client)))
        slots = Slots(first, last - first, 1, 1, 1)
        wanted = Wanted(tuple(metrics), series, chosen, len(chosen), np.arange(len(chosen)), slots,
                        (), False)  # fmt: skip
        pieces = _pieces(client, wanted, index)
    return _put_together(wanted, pieces)


def _put_together(wanted: Wanted, pieces: list[Piece]) -> Samples:
    """What lies in the range, by series."""
    series, chosen, slots = wanted.series, wanted.chosen, wanted.slots
    rows = np.searchsorted(series.ids[chosen], np.array([key for key, *_ in pieces], np.uint64))
    found: dict[int, list[Piece]] = {}
    for row, (key, times, values) in zip(rows.tolist(), pieces, strict=True):
        inside = slice(*np.searchsorted(times, (slots.start, slots.end)))
        if len(times[inside]):
            found.setdefault(row, []).append((key, times[inside], values[inside]))
    several = ["metric"] if len(wanted.metrics) > 1 else []
    names = [*series.attribute_names(chosen), "entity", *several]
    columns = [(name, *series.label(name)) for name in names]
    answer = Samples([], [], [])
    for row, parts in sorted(found.items()):
        told = ((name, values[codes[chosen[row]]]) for name, codes, values in columns)
        parts.sort(key=lambda part: int(part[1][0]))
        answer.labels.append({name: value for name, value in told if value})
        answer.times.append(np.concatenate([times for _, times, _ in parts]))
        answer.values.append(np.concatenate([values for *_, values in parts]))
    return answer


def _pieces(client: Client, wanted: Wanted, index: Index) -> list[Piece]:
    if not len(wanted.chosen):
        return []
    borders = index.progress(client).borders
    condition, parameters = sources.conditions(wanted)
    tables = []
    if wanted.slots.start < borders.closed * 1000:
        sql = sources.closed_samples(wanted, condition, borders)
        tables.append(client.query_arrow(sql, parameters=parameters))
    if wanted.slots.end > borders.closed * 1000:
        sql, parameters = sources.open_samples(wanted, borders)
        tables.append(client.query_arrow(sql, parameters=parameters))
    found = [piece for table in tables for batch in table.to_batches() for piece in _of(batch)]
    if sum(len(times) for _, times, _ in found) > MAX_SAMPLES:
        raise TooLarge(f"more than {MAX_SAMPLES} samples: ask for fewer series, or less time")
    return found


def _of(batch: pa.RecordBatch) -> list[Piece]:
    at, xs = batch.column("at"), batch.column("xs")
    times, values = at.values.to_numpy(), xs.values.to_numpy()
    bounds = at.offsets.to_numpy()
    return [
        (key, times[begin:end], values[begin:end])
        for key, begin, end in zip(
            batch.column("key").to_pylist(), bounds[:-1], bounds[1:], strict=True
        )
    ]
