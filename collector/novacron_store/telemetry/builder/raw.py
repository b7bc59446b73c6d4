"""Samples as they were sent, of any series: for those who calculate by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from novacron_contract.errors import BadMessage, TooLarge
from novacron_store.telemetry.builder.filters import EVERY, Filter, only
from novacron_store.telemetry.builder.grid import Slots
from novacron_store.telemetry.builder.index import Index, matcher
from novacron_store.telemetry.builder.lists import table
from novacron_store.telemetry.builder.unpack import unpack
from novacron_store.telemetry.builder.unpacked import Unpacked, bounded
from novacron_store.telemetry.builder.wanted import Wanted
from novacron_store.telemetry.client import contract_errors

MAX_SAMPLES = 20_000_000
# In an answer of the store; a sample has as many among those that came last, which are told one by
# one, else half of them.
_BYTES_OF_SAMPLE, _BYTES_OF_HOUR = 24, 100


@dataclass(frozen=True, slots=True)
class Samples:
    """A series each: its labels, times (Unix milliseconds, in order) and values."""

    labels: list[dict[str, str]]
    times: list[NDArray[np.int64]]
    values: list[NDArray[np.float64]]

    def to_arrow(self) -> pa.Table:
        """A row for each series: labels (a map), times (ms, UTC) and values."""
        times = np.concatenate(self.times or [np.empty(0, np.int64)])
        values = np.concatenate(self.values or [np.empty(0)])
        return table(self.labels, [len(one) for one in self.times], times, values)


def samples(
    client: Client,
    metrics: Sequence[str],
    start: float,
    end: float,
    where: Filter = EVERY,
    index: Index | None = None,
    most: int = MAX_SAMPLES,
) -> Samples:
    """All samples in [start, end), Unix seconds. Of several metrics, labels have `metric`.

    Raises:
        NotFound: a metric that nobody ever sent.
        BadMessage: an empty range, or a condition that makes no sense.
        TooLarge: more than `most`.
    """
    first, last = round(start * 1000), round(end * 1000)
    if last <= first:
        raise BadMessage("the range is empty: its end is not after its start")
    index = index or Index()
    with contract_errors():
        series = index.series(client, metrics, entity=only(where, "entity"))
        (chosen,) = np.nonzero(series.choose(where, matcher(client)))
        slots = Slots(first, last - first, 1, 1, 1)
        wanted = Wanted(tuple(metrics), series, chosen, len(chosen), np.arange(len(chosen)), slots,
                        (), False)  # fmt: skip
        if not len(chosen):
            return Samples([], [], [])
        borders = index.progress(client).borders
        hours = (last - first) // 3_600_000 + 2
        size = _BYTES_OF_SAMPLE * most + _BYTES_OF_HOUR * len(chosen) * hours
        ask = bounded(lambda sql, asked: client.query_arrow(sql, parameters=asked), size)
        told = unpack(ask, wanted, borders, index.hours)
    if len(told.times) > most:
        raise TooLarge(f"more than {most} samples: ask for fewer series, or less time")
    return _labelled(told, wanted)


def _labelled(told: Unpacked, wanted: Wanted) -> Samples:
    """By series."""
    series, chosen = wanted.series, wanted.chosen
    places, begins = np.unique(told.series, return_index=True)
    several = ["metric"] if len(wanted.metrics) > 1 else []
    names = [*series.attribute_names(chosen), "entity", *several]
    columns = [(name, *series.label(name)) for name in names]
    labels = []
    for row in chosen[places]:
        said = ((name, values[codes[row]]) for name, codes, values in columns)
        labels.append({name: value for name, value in said if value})
    if not labels:
        return Samples([], [], [])
    return Samples(labels, np.split(told.times, begins[1:]), np.split(told.values, begins[1:]))
