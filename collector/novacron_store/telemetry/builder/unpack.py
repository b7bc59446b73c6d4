"""Samples as they lie in the store, unpacked here and not by SQL.

ClickHouse plans a statement for 5 ms before it reads anything, and a long one for 30: of few series
two short ones and NumPy take half of the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.exceptions import DatabaseError
from numpy.typing import NDArray

from novacron_contract.errors import TooLarge
from novacron_store.telemetry import schema
from novacron_store.telemetry.builder.sources import SILENCE_S, conditions, hours_of, moment
from novacron_store.telemetry.builder.wanted import Wanted
from novacron_store.telemetry.cheaply import CHEAPLY, OF_CLOSED
from novacron_store.telemetry.samples import Borders

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Asked = Callable[[str, dict[str, Any]], pa.Table]
FEW_BYTES = 8 << 20  # of an answer: a million samples; with more SQL is the better one
_NAMED_IDS = 10_000
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


def unpack(ask: Asked, wanted: Wanted, borders: Borders) -> Unpacked:
    """The samples of the slots."""
    slots, closed = wanted.slots, borders.closed * 1000
    found = None
    if slots.start < closed:
        found = of_closed_hours(ask, wanted, borders)
    if slots.end > closed:
        rest = of_open_hours(ask, wanted, borders)
        found = rest if found is None else found | rest
    assert found is not None  # slots have a length
    return found


def of_closed_hours(
    ask: Asked, wanted: Wanted, borders: Borders, *, steps: bool = False
) -> Unpacked:
    """From blocks; `steps`: what counters grew by, too."""
    condition, parameters = conditions(wanted)
    slots, hours = wanted.slots, hours_of(wanted.slots, borders)
    blocks = _known(ask(
        "SELECT series, toUnixTimestamp(hour) AS at, times, scale, base, steps, floats, carried "
        f"FROM {schema.BLOCKS} FINAL WHERE {hours} AND {condition} {OF_CLOSED}",
        parameters,
    ), wanted)  # fmt: skip
    moments = _moments(ask, wanted, hours, blocks["times"].to_numpy())
    blocks = blocks.filter(pa.array(moments.has(blocks)))
    blocks = blocks.sort_by([("series", "ascending"), ("at", "ascending")])
    integers, floats = _Lists(blocks["steps"]), _Lists(blocks["floats"])
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
    told = Unpacked(_places(blocks["series"], wanted)[row], moments.of(blocks), values, grown)
    there = ~np.isnan(values)
    if not there.all():
        told, row, whole = told.some(there), row[there], whole[there]
    if told.grown is not None and not wanted.delta:
        told.grown[~whole] = since_before(told.values)[~whole]
        first = np.diff(row, prepend=-1) > 0
        told.grown[first] = blocks["carried"].to_numpy()[row[first]]
    return told.between(slots.start, min(slots.end, borders.closed * 1000))


def _moments(ask: Asked, wanted: Wanted, hours: str, ids: NDArray[np.uint64]) -> _Moments:
    """The times that blocks refer to."""
    condition, parameters = f"{hours} AND entity IN {{entities:Array(String)}}", _entities(wanted)
    some = np.unique(ids)
    if len(some) <= _NAMED_IDS:
        condition += " AND id IN {ids:Array(UInt64)}"
        parameters["ids"] = some.tolist()
    return _Moments(ask(
        f"SELECT toUnixTimestamp(hour) AS at, id, first, steps FROM {schema.TIMES} "
        f"WHERE {condition} {CHEAPLY}",
        parameters,
    ))  # fmt: skip


def of_open_hours(ask: Asked, wanted: Wanted, borders: Borders, *, steps: bool = False) -> Unpacked:
    """From windows and arrivals, what is behind the last closed hour."""
    condition, parameters = _by_series(wanted)
    slots, gathered = wanted.slots, borders.gathered * 1000
    end = moment(slots.end)
    pieces = []
    follows = steps and not wanted.delta  # a step is from the sample before, whenever that was
    if follows or not gathered or slots.start < gathered:
        begin = slots.start // 1000 // schema.WINDOW_S * schema.WINDOW_S
        since = "" if follows else f" AND t >= toDateTime({begin}, 'UTC')"
        windows = _known(ask(
            f"SELECT series, times, values FROM {schema.WINDOWS} FINAL WHERE {condition} "
            f"AND t >= {borders.closed_sql} AND t < {borders.gathered_sql}{since} AND t < {end} "
            f"{CHEAPLY}",
            parameters,
        ), wanted)  # fmt: skip
        times, values = _Lists(windows["times"]), _Lists(windows["values"])
        series = np.repeat(_places(windows["series"], wanted), times.lengths)
        pieces.append((series, times.values, values.values))
    if slots.end > gathered:
        arrivals = _known(ask(
            "SELECT id AS series, toUnixTimestamp64Milli(ts) AS at, number AS x "
            f"FROM {schema.ARRIVALS} ARRAY JOIN ids AS id, numbers AS number "
            f"WHERE ts >= toDateTime64({borders.gathered_sql}, 3, 'UTC') AND ts < {end} "
            "AND entity IN {entities:Array(String)} AND id IN {series:Array(UInt64)} "
            f"{CHEAPLY}",
            parameters,
        ), wanted)  # fmt: skip
        moments, numbers = arrivals["at"].to_numpy(), arrivals["x"].to_numpy()
        pieces.append((_places(arrivals["series"], wanted), moments, numbers))
    told = _in_order(pieces, steps)
    if follows and told.grown is not None:
        first = np.diff(told.series, prepend=-1) > 0
        before = _before(ask, wanted, condition, parameters, borders)[told.series[first]]
        told.grown[:] = since_before(told.values)
        told.grown[first] = _step(before, told.values[first])
    return told.between(max(slots.start, borders.closed * 1000), slots.end)


def _in_order(pieces: Sequence[tuple[NDArray[Any], ...]], steps: bool) -> Unpacked:
    """What came twice is there once; of a delta metric, what it grew by is its value."""
    series, times, values = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.lexsort((values, times, series))
    values = values[order]
    told = Unpacked(series[order], times[order], values, values.copy() if steps else None)
    other = (np.diff(told.series, prepend=-1) != 0) | (np.diff(told.times, prepend=-1) != 0)
    return told.some(other & ~np.isnan(told.values))


def _before(
    ask: Asked, wanted: Wanted, condition: str, parameters: dict[str, Any], borders: Borders
) -> Floats:
    """The last value that each series had in a closed hour, NaN where it had none for long."""
    rows = _known(ask(
        f"SELECT series, argMax(last, t) AS x FROM {schema.BUCKETS_1H} FINAL WHERE {condition} "
        f"AND t < {borders.closed_sql} AND t >= {borders.closed_sql} - {SILENCE_S} "
        f"GROUP BY series {CHEAPLY}",
        parameters,
    ), wanted)  # fmt: skip
    found = np.full(len(wanted.chosen), np.nan)
    found[_places(rows["series"], wanted)] = rows["x"].to_numpy()
    return found


def _by_series(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """Windows and arrivals know no classes."""
    asked = (
        "metric IN {metrics:Array(String)} AND entity IN {entities:Array(String)} "
        "AND series IN {series:Array(UInt64)}"
    )
    ids = wanted.series.ids[wanted.chosen].tolist()
    return asked, {"metrics": list(wanted.metrics), "series": ids, **_entities(wanted)}


def _entities(wanted: Wanted) -> dict[str, Any]:
    series = wanted.series
    codes = np.unique(series.entity_of[wanted.chosen])
    return {"entities": [series.entities[code] for code in codes]}


def _known(rows: pa.Table, wanted: Wanted) -> pa.Table:
    """Those of the chosen series: others may have come since these were looked up."""
    chosen = pa.array(wanted.series.ids[wanted.chosen])
    return rows.filter(pc.is_in(rows["series"], chosen)).combine_chunks()


def _places(series: pa.ChunkedArray, wanted: Wanted) -> NDArray[np.intp]:
    return np.asarray(np.searchsorted(wanted.series.ids[wanted.chosen], series.to_numpy()))


def _step(before: Floats, now: Floats) -> Floats:
    """Without one before there is none."""
    return np.where(np.isnan(before), 0.0, np.where(now < before, now, now - before))


def since_before(values: Floats) -> Floats:
    """The step to each from the one before, 0 to the first; a smaller one is a restart from 0."""
    before = np.concatenate((values[:1], values[:-1]))
    return _step(before, values)


class _Lists:
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


class _Moments:
    """The times of hours, by hour (Unix seconds) and id."""

    def __init__(self, rows: pa.Table) -> None:
        lists = _Lists(rows["steps"])
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
