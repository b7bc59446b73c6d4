"""Quantiles of what exponential histograms measured in windows.

A bucket is known by its key: its index, moved so that keys ascend as values do, 0 is the bucket
around zero. Buckets of one scale are exactly buckets of each smaller one, so what windows hold is
brought to the smallest scale and the widest zero in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_contract.errors import TooLarge
from novacron_store.telemetry import schema
from novacron_store.telemetry.builder.grid import Slots
from novacron_store.telemetry.builder.slid import Slid, nested
from novacron_store.telemetry.builder.steps import Steps
from novacron_store.telemetry.builder.unpacked import Asked
from novacron_store.telemetry.distributions import Counts, Floats, of_exponential

MAX_BUCKETS = 320  # of a row: at more its scale becomes smaller, as senders do it
_ZERO = 1 << 40  # more than any index: what is between the key of a bucket and its index
_SMALLEST, _LARGEST = np.finfo(np.float64).tiny, np.finfo(np.float64).max

_KEYS = f"""arrayConcat(
            arrayReverse(arrayMap(i -> -({_ZERO} + negative_offset + toInt64(i) - 1),
                arrayEnumerate(negative_buckets))), [toInt64(0)],
            arrayMap(i -> {_ZERO} + positive_offset + toInt64(i) - 1,
                arrayEnumerate(positive_buckets)))"""
_COUNTS = """arrayMap(n -> toInt64(n),
            arrayConcat(arrayReverse(negative_buckets), [zero_count], positive_buckets))"""
# What is at least as large in the sample before is looked up by index; a scale never grows.
_FOLLOWS = """lagInFrame(scale) OVER steps >= scale AND lagInFrame(count) OVER steps <= count
            AND lagInFrame(zero_count) OVER steps <= zero_count
            AND lagInFrame(zero_threshold) OVER steps <= zero_threshold
            AND (earlier.1 > scale OR (%s AND %s))"""
_NO_LESS = """arrayAll((n, i) -> n <= if(was_{0} + i > {0}_offset,
                {0}_buckets[was_{0} + i - {0}_offset], 0),
                lagInFrame({0}_buckets) OVER steps,
                arrayEnumerate(lagInFrame({0}_buckets) OVER steps))"""


def quantiles(ask: Asked, steps: Steps, most: int) -> Floats:
    """Of each row at each point.

    Raises:
        TooLarge: more than `most` different scales and zeros in a row.
    """
    wanted = steps.wanted
    found = np.full((wanted.rows, Slid.points(wanted.slots)), np.nan)
    told = ask(_sql(steps), steps.parameters)
    rows = told["row"].to_numpy()
    for row in np.unique(rows[rows >= 0]):  # less: a series that came since the index was asked
        places = np.flatnonzero(rows == row)
        if len(places) > most:
            raise TooLarge(
                f"exponential histograms of more than {most} different scales and zeros are not "
                "added up: tell them apart by labels"
            )
        cells = _Cells.of(told, places)
        for points, scale, zero in _levels(cells, wanted.slots):
            found[row, points] = cells.brought_to(scale, zero, wanted.slots, points, wanted.share)
    return found


def _sql(steps: Steps) -> str:
    """Rows of (row, scale, zero, slots, keys, counts). A step is what there is at its end, less
    what there was at its beginning, each with its own scale."""
    columns = f"""scale, (scale, if(zero_threshold > 0, zero_threshold, 0),
            {_KEYS}, {_COUNTS}) AS mine,
        lagInFrame(mine) OVER steps AS earlier,
        lagInFrame(positive_offset) OVER steps AS was_positive,
        lagInFrame(negative_offset) OVER steps AS was_negative"""
    follows = _FOLLOWS % (_NO_LESS.format("positive"), _NO_LESS.format("negative"))
    return f"""SELECT row, scale, zero, groupArray(slot) AS slots,
        groupArray(kept.1) AS keys, groupArray(kept.2) AS counts
    FROM (
        SELECT {steps.row} AS row, {steps.slot} AS slot, part.1 AS scale, part.2 AS zero,
            sumMap(part.3, part.4) AS kept
        FROM (
            SELECT series, now, if(follows, [mine,
                (earlier.1, earlier.2, earlier.3, arrayMap(n -> -n, earlier.4))], [mine]) AS parts
            FROM ({steps.of(schema.EXPONENTIAL_HISTOGRAMS, columns, follows)})
            WHERE {steps.inside}
        )
        ARRAY JOIN parts AS part
        GROUP BY row, slot, scale, zero HAVING notEmpty(kept.1)
    )
    GROUP BY row, scale, zero"""


@dataclass(frozen=True, slots=True)
class _Cells:
    """Counts of a row: of which slot, bucket, scale and zero, in the order of slots."""

    slots: NDArray[np.int64]
    keys: NDArray[np.int64]
    counts: Counts
    scales: NDArray[np.int64]
    zeros: Floats

    @classmethod
    def of(cls, told: pa.Table, places: NDArray[np.intp]) -> _Cells:
        parts = [cls._one(told, int(place)) for place in places]
        slots = np.concatenate([part.slots for part in parts])
        order = np.argsort(slots, kind="stable")
        return cls(
            slots[order],
            np.concatenate([part.keys for part in parts])[order],
            np.concatenate([part.counts for part in parts])[order],
            np.concatenate([part.scales for part in parts])[order],
            np.concatenate([part.zeros for part in parts])[order],
        )

    @classmethod
    def _one(cls, told: pa.Table, place: int) -> _Cells:
        keys = nested(told["keys"], place)
        lengths = [len(one) for one in told["keys"][place]]
        return cls(
            np.repeat(nested(told["slots"], place), lengths),
            keys,
            nested(told["counts"], place),
            np.full(len(keys), told["scale"][place].as_py(), np.int64),
            np.full(len(keys), told["zero"][place].as_py(), np.float64),
        )

    def brought_to(
        self, scale: int, zero: float, slots: Slots, points: NDArray[np.intp], share: float
    ) -> Floats:
        """The quantiles of `points`, whose windows have no smaller scale and no wider zero."""
        some = self.scales >= scale
        keys, zero, scale = _fewer(self.keys[some], self.scales[some], scale, zero)
        columns, column_of = np.unique(keys, return_inverse=True)
        filled, row_of = np.unique(self.slots[some], return_inverse=True)
        counts = np.zeros((len(filled), len(columns)), np.int64)
        np.add.at(counts, (row_of, column_of), self.counts[some])
        lows, highs = _borders(columns, scale, zero)
        within = np.maximum(Slid.of(filled, counts, slots).at(points), 0)
        return of_exponential(lows, highs, within, share)


def _levels(cells: _Cells, slots: Slots) -> Iterator[tuple[NDArray[np.intp], int, float]]:
    """Points whose windows have the same smallest scale and the same widest zero."""
    kinds, kind_of = np.unique(
        np.stack([cells.scales.astype(np.float64), cells.zeros]), axis=1, return_inverse=True
    )
    kind_of = np.ravel(kind_of)
    there = np.array([
        Slid.of(cells.slots[kind_of == kind], np.empty((int((kind_of == kind).sum()), 0), np.int64),
                slots).there
        for kind in range(kinds.shape[1])
    ])  # fmt: skip
    scales = np.where(there, kinds[0][:, None], np.inf).min(axis=0)
    zeros = np.where(there, kinds[1][:, None], 0).max(axis=0)
    levels = np.stack([scales, zeros])
    for scale, zero in np.unique(levels[:, there.any(axis=0)], axis=1).T:
        yield np.flatnonzero((scales == scale) & (zeros == zero)), int(scale), float(zero)


def _fewer(
    keys: NDArray[np.int64], scales: NDArray[np.int64], scale: int, zero: float
) -> tuple[NDArray[np.int64], float, int]:
    """Keys at `scale`, or the next smaller one at which there are not too many."""
    while True:
        found, wide = _widened(_moved(keys, scales - scale), scale, zero)
        if len(np.unique(found)) <= MAX_BUCKETS:
            return found, wide, scale
        scale -= 1


def _moved(keys: NDArray[np.int64], by: NDArray[np.int64]) -> NDArray[np.int64]:
    """At scales that are so much smaller."""
    moved = (np.abs(keys) - _ZERO) >> np.minimum(by, 63)
    return np.where(keys == 0, 0, np.sign(keys) * (_ZERO + moved))


def _widened(keys: NDArray[np.int64], scale: int, zero: float) -> tuple[NDArray[np.int64], float]:
    """Buckets that begin below the end of the zero are part of it, the last of them as a whole."""
    if zero <= 0:
        return keys, 0.0
    end = np.clip(np.ceil(_scaled(np.log2(zero), scale)), -_ZERO, _ZERO)
    covered = np.abs(keys) - _ZERO < end
    return np.where(covered, 0, keys), float(_border(end, scale))


def _borders(keys: NDArray[np.int64], scale: int, zero: float) -> tuple[Floats, Floats]:
    """The lower and the upper one of each bucket."""
    index = np.where(keys == 0, 0, np.abs(keys) - _ZERO).astype(np.float64)
    near, far = _border(index, scale), _border(index + 1, scale)
    lows = np.where(keys > 0, near, np.where(keys < 0, -far, -zero))
    highs = np.where(keys > 0, far, np.where(keys < 0, -near, zero))
    return lows, highs


def _border(index: Any, scale: int) -> Floats:
    """Where a bucket begins; of all that a sender may say, a number above zero."""
    with np.errstate(over="ignore", under="ignore"):
        found = np.exp2(_scaled(index, -scale))
    return np.clip(found, _SMALLEST, _LARGEST)


def _scaled(value: Any, scale: int) -> Floats:
    """Times two to that power."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(value, np.clip(scale, -5000, 5000)))
