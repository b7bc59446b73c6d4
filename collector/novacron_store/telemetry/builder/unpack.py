"""Samples as they lie in the store, unpacked here and not by SQL.

ClickHouse plans a statement for 5 ms before it reads anything, and a long one for 30: of few series
two short ones and NumPy take half of the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from novacron_store.telemetry import schema
from novacron_store.telemetry.builder.sources import SILENCE_S, conditions, hours_of, moment
from novacron_store.telemetry.builder.wanted import Wanted
from novacron_store.telemetry.cheaply import CHEAPLY, OF_CLOSED
from novacron_store.telemetry.samples import Borders

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Asked = Callable[[str, dict[str, Any]], pa.Table]


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Of each sample: the place of its series in `Wanted.chosen`, its time in Unix milliseconds,
    its value, and what its counter grew by since the sample before (0 for the first of all).

    In the order of series and times, each time of a series once, and no NaN."""

    series: NDArray[np.intp]
    times: Ints
    values: Floats
    grown: Floats

    def some(self, of: NDArray[Any]) -> Unpacked:
        """Those samples: a mask, or their places."""
        return Unpacked(*(column[of] for column in self._columns()))

    def between(self, start: int, end: int) -> Unpacked:
        """Those of [start, end), Unix milliseconds."""
        return self.some((self.times >= start) & (self.times < end))

    def __or__(self, later: Unpacked) -> Unpacked:
        """Both, of which `later` is of later times."""
        pairs = zip(self._columns(), later._columns(), strict=True)
        both = Unpacked(*(np.concatenate(pair) for pair in pairs))
        return both.some(np.argsort(both.series, kind="stable"))

    def _columns(self) -> Iterator[NDArray[Any]]:
        return (getattr(self, one.name) for one in fields(self))


def unpack(ask: Asked, wanted: Wanted, borders: Borders, *, steps: bool = False) -> Unpacked:
    """The samples of the slots; what counters grew by is said with `steps` only."""
    slots, closed = wanted.slots, borders.closed * 1000
    found = None
    if slots.start < closed:
        found = of_closed_hours(ask, wanted, borders)
    if slots.end > closed:
        rest = of_open_hours(ask, wanted, borders, steps=steps)
        found = rest if found is None else found | rest
    assert found is not None  # slots have a length
    return found.between(slots.start, slots.end)


def of_closed_hours(ask: Asked, wanted: Wanted, borders: Borders) -> Unpacked:
    """From blocks, of all hours in which slots lie."""
    condition, parameters = conditions(wanted)
    hours = hours_of(wanted.slots, borders)
    blocks = ask(
        "SELECT series, toUnixTimestamp(hour) AS at, times, scale, base, steps, floats, carried "
        f"FROM {schema.BLOCKS} FINAL WHERE {hours} AND {condition} {OF_CLOSED}",
        parameters,
    )
    entities = " AND entity IN {entities:Array(String)}" if "{entities:" in condition else ""
    moments = _Moments(ask(
        f"SELECT toUnixTimestamp(hour) AS at, id, first, steps FROM {schema.TIMES} "
        f"WHERE {hours}{entities} {CHEAPLY}",
        parameters,
    ))  # fmt: skip
    blocks = _known(blocks, wanted).sort_by([("series", "ascending"), ("at", "ascending")])
    integers, floats = _Lists(blocks["steps"]), _Lists(blocks["floats"])
    lengths = integers.lengths + floats.lengths  # one of them is empty
    row = np.repeat(np.arange(len(lengths)), lengths)
    whole = np.repeat(integers.lengths > 0, lengths)
    power = 10.0 ** np.maximum(blocks["scale"].to_numpy(), 0)[row]
    base = blocks["base"].to_numpy()[row]

    values, grown = np.empty(len(row)), np.empty(len(row))
    numbers = integers.summed() + base[whole]
    values[whole] = numbers / power[whole]
    values[~whole] = floats.values
    grown[whole] = np.where(integers.values < 0, numbers, integers.values) / power[whole]
    there = ~np.isnan(values)
    row, whole, values, grown = row[there], whole[there], values[there], grown[there]
    grown[~whole] = _steps(values)[~whole]
    first = np.diff(row, prepend=-1) > 0
    grown[first] = blocks["carried"].to_numpy()[row[first]]
    times = moments.of(blocks["at"].to_numpy(), blocks["times"].to_numpy())[there]
    grown = values if wanted.delta else grown
    return Unpacked(_places(blocks["series"], wanted)[row], times, values, grown)


def of_open_hours(ask: Asked, wanted: Wanted, borders: Borders, *, steps: bool) -> Unpacked:
    """From windows and arrivals, of what is behind the last closed hour."""
    condition, parameters = _by_series(wanted)
    slots, gathered = wanted.slots, borders.gathered * 1000
    end = moment(slots.end)
    pieces = []
    follows = steps and not wanted.delta  # a step is from the sample before, whenever that was
    if follows or slots.start < gathered:
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
    told = _in_order(pieces)
    if follows:
        first = np.diff(told.series, prepend=-1) > 0
        before = _before(ask, wanted, condition, parameters, borders)[told.series[first]]
        told.grown[:] = _steps(told.values)
        told.grown[first] = _step(before, told.values[first])
    return told


def _in_order(pieces: Sequence[tuple[NDArray[Any], ...]]) -> Unpacked:
    """What came twice is there once."""
    series, times, values = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.lexsort((values, times, series))
    told = Unpacked(series[order], times[order], values[order], values[order])
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
    series, chosen = wanted.series, wanted.chosen
    entities = [series.entities[code] for code in np.unique(series.entity_of[chosen])]
    asked = (
        "metric IN {metrics:Array(String)} AND entity IN {entities:Array(String)} "
        "AND series IN {series:Array(UInt64)}"
    )
    ids = series.ids[chosen].tolist()
    return asked, {"metrics": list(wanted.metrics), "entities": entities, "series": ids}


def _known(rows: pa.Table, wanted: Wanted) -> pa.Table:
    """Those of the chosen series: others may have come since these were looked up."""
    chosen = pa.array(wanted.series.ids[wanted.chosen])
    return rows.filter(pc.is_in(rows["series"], chosen)).combine_chunks()


def _places(series: pa.ChunkedArray, wanted: Wanted) -> NDArray[np.intp]:
    return np.asarray(np.searchsorted(wanted.series.ids[wanted.chosen], series.to_numpy()))


def _step(before: Floats, now: Floats) -> Floats:
    """A smaller value is a restart from 0; without one before there is no step."""
    return np.where(np.isnan(before), 0.0, np.where(now < before, now, now - before))


def _steps(values: Floats) -> Floats:
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
        keys = zip(rows["at"].to_pylist(), rows["id"].to_pylist(), strict=True)
        self._rows = {key: row for row, key in enumerate(keys)}

    def of(self, hours: NDArray[Any], ids: NDArray[Any]) -> Ints:
        """One after the other. They are stored before what refers to them."""
        asked = zip(hours.tolist(), ids.tolist(), strict=True)
        rows = np.fromiter((self._rows[key] for key in asked), np.intp, len(hours))
        lengths = self._lengths[rows]
        begins = np.repeat(self._begins[rows] - (np.cumsum(lengths) - lengths), lengths)
        return self._times[begins + np.arange(len(begins))]
