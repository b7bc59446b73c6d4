"""Asking the store what slots hold.

Closed hours and what is not closed yet are asked apart: either as rows of (key, slot, parts), which
are put in their places here, or, of few series, as samples. A key is a series, or what several of
them that are added up anyway have in common.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_contract.errors import TooLarge
from novacron_store.telemetry.builder import sources
from novacron_store.telemetry.builder.closed_hours import of_closed_hours
from novacron_store.telemetry.builder.counted import counted
from novacron_store.telemetry.builder.held_hours import HeldHours
from novacron_store.telemetry.builder.partials import Floats, Partials, nothing
from novacron_store.telemetry.builder.unpack import of_open_hours
from novacron_store.telemetry.builder.unpacked import FEW_BYTES, Asked, bounded
from novacron_store.telemetry.builder.wanted import Key, Part, Wanted
from novacron_store.telemetry.progress import Resolution
from novacron_store.telemetry.samples import Borders

_UNITED = {
    **dict.fromkeys((Part.COUNT, Part.SUM, Part.INCREASE), (np.add, 0.0)),
    Part.MIN: (np.minimum, np.inf),
    Part.MAX: (np.maximum, -np.inf),
}


def collect(
    ask: Asked,
    wanted: Wanted,
    borders: Borders,
    resolution: Resolution,
    few: int,
    held: HeldHours | None = None,
) -> Partials:
    """The parts of all slots, of closed hours from `resolution`; `few` are the hours of series up
    to which samples are unpacked here, unless there are very many."""
    slots, closed = wanted.slots, borders.closed * 1000
    steps = Part.INCREASE in wanted.parts
    found, samples = nothing(wanted), bounded(ask, FEW_BYTES)
    if slots.start < closed:
        hours = -(-(min(slots.end, closed) - slots.start) // 3_600_000)
        unpacked = None
        if resolution is Resolution.RAW and len(wanted.chosen) * hours <= few:
            with suppress(TooLarge):
                unpacked = of_closed_hours(samples, wanted, borders, held, steps=steps)
        if unpacked is None:
            condition, parameters = sources.conditions(wanted)
            sql = sources.closed(wanted, condition, borders, resolution)
            found = _put(ask(sql, parameters), wanted, wanted.key)
        else:
            found = counted(unpacked, wanted)
    if slots.end > closed:
        unpacked = None
        if len(wanted.chosen) <= few:
            with suppress(TooLarge):
                unpacked = of_open_hours(samples, wanted, borders, steps=steps)
        if unpacked is None:
            found |= _put(ask(*sources.opened(wanted, borders)), wanted, Key.SERIES)
        else:
            found |= counted(unpacked, wanted)
    return found


def _put(rows: pa.Table, wanted: Wanted, key: Key) -> Partials:
    """Answered rows where they belong; several keys of one row have parts that can be added."""
    found = nothing(wanted)
    if not rows.num_rows:
        return found
    row, slot = _rows(rows["key"], wanted, key), rows["slot"].to_numpy()
    known = row >= 0
    at = np.ravel_multi_index((row[known], slot[known]), (wanted.rows, wanted.slots.count))
    for part in wanted.parts:
        if part is Part.VALUES:
            found.values = _lists(row, slot, rows[part.value])
        else:
            values = rows[part.value].to_numpy()[known]
            flat = found.of[part].reshape(-1)
            if part in _UNITED:
                unite, neutral = _UNITED[part]
                flat[at] = neutral
                unite.at(flat, at, values)
            else:
                flat[at] = values
    return found


def _lists(
    row: NDArray[np.intp], slot: NDArray[np.int32], lists: pa.ChunkedArray
) -> dict[tuple[int, int], list[Floats]]:
    return {
        (int(r), int(s)): [np.asarray(values.values.to_numpy(), np.float64)]
        for r, s, values in zip(row, slot, lists, strict=True)
        if r >= 0
    }


def _rows(keys: pa.ChunkedArray, wanted: Wanted, key: Key) -> NDArray[np.intp]:
    """The row of each key; -1 for one that is not wanted."""
    series, chosen = wanted.series, wanted.chosen
    if key is Key.ALL:
        return np.zeros(len(keys), np.intp)
    if key is Key.ENTITY:
        row_of = dict(zip(
            (series.entities[code] for code in series.entity_of[chosen]), wanted.row_of.tolist(),
            strict=True,
        ))  # fmt: skip
        return np.array([row_of.get(name, -1) for name in keys.to_pylist()], np.intp)
    mine = series.ids[chosen] if key is Key.SERIES else series.classes[chosen]
    order = np.argsort(mine, kind="stable")
    asked = keys.to_numpy()
    place = np.minimum(np.searchsorted(mine[order], asked), len(mine) - 1)
    found = order[place]
    return np.where(mine[found] == asked, wanted.row_of[found], -1)
