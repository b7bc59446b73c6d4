"""What slots of time hold of each series: sums, extremes, last values.

Closed hours and what is not closed yet are asked apart, and answer rows of (key, slot, parts),
which are put side by side here. A key is a series, or what several of them that are added up anyway
have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_store.telemetry.builder import sources
from novacron_store.telemetry.builder.wanted import Key, Part, Wanted
from novacron_store.telemetry.queries.buckets import Resolution
from novacron_store.telemetry.samples import Borders

Floats = NDArray[np.float64]
_UNITED = {
    **dict.fromkeys((Part.COUNT, Part.SUM, Part.INCREASE), (np.add, 0.0)),
    Part.MIN: (np.minimum, np.inf),
    Part.MAX: (np.maximum, -np.inf),
}

Asked = Callable[[str, dict[str, Any]], pa.Table]


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


def collect(ask: Asked, wanted: Wanted, borders: Borders, resolution: Resolution) -> Partials:
    """Ask for the parts of all slots, of closed hours in `resolution`."""
    condition, parameters = sources.conditions(wanted)
    closed = borders.closed * 1000
    found = _nothing(wanted)
    if wanted.slots.start < closed:
        sql = sources.closed(wanted, condition, borders, resolution)
        found = _put(ask(sql, parameters), wanted, wanted.key)
    if wanted.slots.end > closed:  # windows and arrivals do not know classes
        found |= _put(ask(*sources.opened(wanted, borders)), wanted, Key.SERIES)
    return found


def _nothing(wanted: Wanted) -> Partials:
    shape = (wanted.rows, wanted.slots.count)
    return Partials({part: np.full(shape, np.nan) for part in wanted.parts}, {})


def _put(rows: pa.Table, wanted: Wanted, key: Key) -> Partials:
    """Answered rows where they belong; several keys of one row have parts that can be added."""
    found = _nothing(wanted)
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
                unite, nothing = _UNITED[part]
                flat[at] = nothing
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
