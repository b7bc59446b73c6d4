"""Closed hours of few series, unpacked here and not by SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_store.telemetry import schema
from novacron_store.telemetry.builder.grid import Slots
from novacron_store.telemetry.builder.held_hours import MOST, HeldHours, SeriesHours
from novacron_store.telemetry.builder.sources import conditions, hours_of
from novacron_store.telemetry.builder.unpacked import (
    Asked,
    Ints,
    Lists,
    Unpacked,
    known,
    places,
    since_before,
)
from novacron_store.telemetry.builder.wanted import Wanted
from novacron_store.telemetry.cheaply import CHEAPLY, OF_CLOSED
from novacron_store.telemetry.samples import Borders
from novacron_store.telemetry.schema import HOUR_S

HOUR_MS = HOUR_S * 1000
_NAMED_IDS = 10_000


def of_closed_hours(
    ask: Asked,
    wanted: Wanted,
    borders: Borders,
    held: HeldHours | None = None,
    *,
    steps: bool = False,
) -> Unpacked:
    """From blocks, or what is `held` of them; `steps`: what counters grew by, too."""
    slots = wanted.slots
    end = min(slots.end, borders.closed * 1000)
    hours = range(slots.start // HOUR_MS * HOUR_S, -(-end // 1000), HOUR_S)
    if held is None or not borders.revision or len(wanted.chosen) * len(hours) > MOST:
        told = _of_blocks(ask, wanted, borders, steps)
    else:
        of = SeriesHours(wanted.ids.tolist(), hours)
        told = held.get(of, borders, steps, partial(_of_hours, ask, wanted, borders, steps))
    return told.between(slots.start, end)


def _of_hours(
    ask: Asked,
    wanted: Wanted,
    borders: Borders,
    steps: bool,
    rows: Sequence[int],
    hours: range,
) -> Unpacked:
    """Whole hours of some of the chosen series."""
    chosen = wanted.chosen[np.array(rows, np.intp)]
    slots = Slots(hours.start * 1000, len(hours) * HOUR_MS, 1, 1, 1)
    return _of_blocks(ask, replace(wanted, chosen=chosen, slots=slots), borders, steps)


def _of_blocks(ask: Asked, wanted: Wanted, borders: Borders, steps: bool) -> Unpacked:
    """All of the hours in which the slots lie."""
    condition, parameters = conditions(wanted)
    ids, hours = wanted.ids, hours_of(wanted.slots, borders)
    blocks = known(ask(
        "SELECT series, toUnixTimestamp(hour) AS at, times, scale, base, steps, floats, carried "
        f"FROM {schema.BLOCKS} FINAL WHERE {hours} AND {condition} {OF_CLOSED}",
        parameters,
    ), ids)  # fmt: skip
    moments = _moments(ask, wanted, hours, blocks["times"].to_numpy())
    blocks = blocks.filter(pa.array(moments.has(blocks)))
    blocks = blocks.sort_by([("series", "ascending"), ("at", "ascending")])
    integers, floats = Lists(blocks["steps"]), Lists(blocks["floats"])
    lengths = integers.lengths + floats.lengths  # one of them is empty
    row = np.repeat(np.arange(len(lengths)), lengths)
    whole = np.repeat(integers.lengths > 0, lengths)
    power = 10.0 ** np.maximum(blocks["scale"].to_numpy(), 0)
    numbers = integers.summed() + np.repeat(blocks["base"].to_numpy(), integers.lengths)
    power = np.repeat(power, integers.lengths)
    values = np.empty(len(row))
    values[whole], values[~whole] = numbers / power, floats.values
    grown = None
    if steps and wanted.delta:
        grown = values
    elif steps:
        grown = np.empty(len(row))
        grown[whole] = np.where(integers.values < 0, numbers, integers.values) / power
    told = Unpacked(places(blocks["series"], ids)[row], moments.of(blocks), values, grown)
    there = ~np.isnan(values)
    if not there.all():
        told, row, whole = told.some(there), row[there], whole[there]
    if told.grown is not None and not wanted.delta:
        told.grown[~whole] = since_before(told.values)[~whole]
        first = np.diff(row, prepend=-1) > 0
        told.grown[first] = blocks["carried"].to_numpy()[row[first]]
    return told


def _moments(ask: Asked, wanted: Wanted, hours: str, ids: NDArray[np.uint64]) -> _Moments:
    """The times that blocks refer to."""
    condition = f"{hours} AND entity IN {{entities:Array(String)}}"
    parameters: dict[str, Any] = {"entities": wanted.entities}
    some = np.unique(ids)
    if len(some) <= _NAMED_IDS:
        condition += " AND id IN {ids:Array(UInt64)}"
        parameters["ids"] = some.tolist()
    return _Moments(ask(
        f"SELECT toUnixTimestamp(hour) AS at, id, first, steps FROM {schema.TIMES} "
        f"WHERE {condition} {CHEAPLY}",
        parameters,
    ))  # fmt: skip


class _Moments:
    """The times of hours, by hour (Unix seconds) and id."""

    def __init__(self, rows: pa.Table) -> None:
        lists = Lists(rows["steps"])
        self._times = np.repeat(rows["first"].to_numpy(), lists.lengths) + lists.summed()
        self._lengths, self._begins = lists.lengths, lists.begins
        self._rows = {key: row for row, key in enumerate(_keys(rows, "id"))}

    def has(self, blocks: pa.Table) -> NDArray[np.bool_]:
        """Whether the times are there: they may expire shortly before what refers to them."""
        return np.fromiter((key in self._rows for key in _keys(blocks, "times")), bool)

    def of(self, blocks: pa.Table) -> Ints:
        """Those of the blocks, one after the other."""
        rows = np.fromiter((self._rows[key] for key in _keys(blocks, "times")), np.intp)
        lengths = self._lengths[rows]
        begins = np.repeat(self._begins[rows] - (np.cumsum(lengths) - lengths), lengths)
        return np.asarray(self._times[begins + np.arange(len(begins))])


def _keys(rows: pa.Table, name: str) -> Iterator[tuple[int, int]]:
    return zip(rows["at"].to_pylist(), rows[name].to_pylist(), strict=True)
