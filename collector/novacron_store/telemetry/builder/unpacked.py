"""Samples as they lie in the store, unpacked here and not by SQL: what they become."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.exceptions import DatabaseError
from numpy.typing import NDArray

from novacron_contract.errors import TooLarge

Ids = NDArray[np.uint64]  # of series, in their order
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Asked = Callable[[str, dict[str, Any]], pa.Table]
FEW_BYTES = 8 << 20  # of an answer: a million samples; with more SQL is the better one
_TOO_MANY_BYTES = 396


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Of each sample: the place of its series in `Wanted.chosen`, its time in Unix milliseconds,
    its value, and, where that was asked for, what its counter grew by since the sample before (0
    for the first of all).

    In the order of series and times, each time of a series once, and no NaN."""

    series: NDArray[np.intp]
    times: Ints
    values: Floats
    grown: Floats | None

    def some(self, of: NDArray[Any]) -> Unpacked:
        """Those samples: a mask, or their places."""
        grown = None if self.grown is None else self.grown[of]
        return Unpacked(self.series[of], self.times[of], self.values[of], grown)

    def between(self, start: int, end: int) -> Unpacked:
        """Those of [start, end), Unix milliseconds."""
        inside = (self.times >= start) & (self.times < end)
        return self if inside.all() else self.some(inside)

    def __or__(self, later: Unpacked) -> Unpacked:
        """Both, of which `later` is of later times."""
        grown = None
        if self.grown is not None and later.grown is not None:
            grown = np.concatenate((self.grown, later.grown))
        both = Unpacked(
            np.concatenate((self.series, later.series)),
            np.concatenate((self.times, later.times)),
            np.concatenate((self.values, later.values)),
            grown,
        )
        return both.some(np.argsort(both.series, kind="stable"))


def bounded(ask: Asked, most: int) -> Asked:
    """What asks as `ask` does, for `most` bytes at most; its statements end with SETTINGS.

    It raises TooLarge where an answer would be larger.
    """

    def asked(sql: str, parameters: dict[str, Any]) -> pa.Table:
        limits = f"max_result_bytes = {most}, result_overflow_mode = 'throw'"
        try:
            return ask(f"{sql}, {limits}", parameters)
        except DatabaseError as err:
            if err.code == _TOO_MANY_BYTES:
                with suppress(Exception):  # chDB in process: what was written is in the next answer
                    ask("SELECT 1", {})
                raise TooLarge("too many samples: ask for fewer series, or less time") from err
            raise

    return asked


def known(rows: pa.Table, ids: Ids) -> pa.Table:
    """Those of the chosen series: others may have come since these were looked up."""
    return rows.filter(pc.is_in(rows["series"], pa.array(ids))).combine_chunks()


def places(series: pa.ChunkedArray, ids: Ids) -> NDArray[np.intp]:
    return np.asarray(np.searchsorted(ids, series.to_numpy()))


def step_to(before: Floats, now: Floats) -> Floats:
    """Without one before there is none."""
    return np.where(np.isnan(before), 0.0, np.where(now < before, now, now - before))


def since_before(values: Floats) -> Floats:
    """The step to each from the one before, 0 to the first; a smaller one is a restart from 0."""
    before = np.concatenate((values[:1], values[:-1]))
    return step_to(before, values)


class Lists:
    """A column of lists."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        lists = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        self.lengths: Ints = np.diff(lists.offsets.to_numpy()).astype(np.int64)
        self.values: NDArray[Any] = lists.flatten().to_numpy(zero_copy_only=False)

    @property
    def begins(self) -> Ints:
        return np.cumsum(self.lengths) - self.lengths

    def summed(self) -> Ints:
        """The running sum of each list."""
        every = np.cumsum(self.values, dtype=np.int64)
        ahead = np.concatenate((np.zeros(1, np.int64), every))[self.begins]
        return np.asarray(every - np.repeat(ahead, self.lengths))
