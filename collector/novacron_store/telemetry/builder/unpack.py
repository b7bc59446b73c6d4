"""Samples as they lie in the store, unpacked here and not by SQL.

ClickHouse plans a statement for 5 ms before it reads anything, and a long one for 30: of few series
two short ones and NumPy take half of the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novacron_store.telemetry import schema
from novacron_store.telemetry.builder.closed_hours import of_closed_hours
from novacron_store.telemetry.builder.held_hours import HeldHours
from novacron_store.telemetry.builder.sources import SILENCE_S, moment
from novacron_store.telemetry.builder.unpacked import (
    Asked,
    Floats,
    Ids,
    Lists,
    Unpacked,
    known,
    places,
    since_before,
    step_to,
)
from novacron_store.telemetry.builder.wanted import Wanted
from novacron_store.telemetry.cheaply import CHEAPLY
from novacron_store.telemetry.samples import Borders


def unpack(ask: Asked, wanted: Wanted, borders: Borders, held: HeldHours | None = None) -> Unpacked:
    """The samples of the slots."""
    slots, closed = wanted.slots, borders.closed * 1000
    found = None
    if slots.start < closed:
        found = of_closed_hours(ask, wanted, borders, held)
    if slots.end > closed:
        rest = of_open_hours(ask, wanted, borders)
        found = rest if found is None else found | rest
    assert found is not None  # slots have a length
    return found


def of_open_hours(ask: Asked, wanted: Wanted, borders: Borders, *, steps: bool = False) -> Unpacked:
    """From windows and arrivals, what is behind the last closed hour."""
    condition, parameters = _by_series(wanted)
    ids, slots, gathered = wanted.ids, wanted.slots, borders.gathered * 1000
    end = moment(slots.end)
    pieces = []
    follows = steps and not wanted.delta  # a step is from the sample before, whenever that was
    if follows or not gathered or slots.start < gathered:
        begin = slots.start // 1000 // schema.WINDOW_S * schema.WINDOW_S
        since = "" if follows else f" AND t >= toDateTime({begin}, 'UTC')"
        windows = known(ask(
            f"SELECT series, times, values FROM {schema.WINDOWS} FINAL WHERE {condition} "
            f"AND t >= {borders.closed_sql} AND t < {borders.gathered_sql}{since} AND t < {end} "
            f"{CHEAPLY}",
            parameters,
        ), ids)  # fmt: skip
        times, values = Lists(windows["times"]), Lists(windows["values"])
        series = np.repeat(places(windows["series"], ids), times.lengths)
        pieces.append((series, times.values, values.values))
    if slots.end > gathered:
        arrivals = known(ask(
            "SELECT id AS series, toUnixTimestamp64Milli(ts) AS at, number AS x "
            f"FROM {schema.ARRIVALS} ARRAY JOIN ids AS id, numbers AS number "
            f"WHERE ts >= toDateTime64({borders.gathered_sql}, 3, 'UTC') AND ts < {end} "
            "AND entity IN {entities:Array(String)} AND id IN {series:Array(UInt64)} "
            f"{CHEAPLY}",
            parameters,
        ), ids)  # fmt: skip
        moments, numbers = arrivals["at"].to_numpy(), arrivals["x"].to_numpy()
        pieces.append((places(arrivals["series"], ids), moments, numbers))
    told = _in_order(pieces, steps)
    if follows and told.grown is not None:
        first = np.diff(told.series, prepend=-1) > 0
        before = _before(ask, ids, condition, parameters, borders)[told.series[first]]
        told.grown[:] = since_before(told.values)
        told.grown[first] = step_to(before, told.values[first])
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
    ask: Asked, ids: Ids, condition: str, parameters: dict[str, Any], borders: Borders
) -> Floats:
    """The last value that each series had in a closed hour, NaN where it had none for long."""
    rows = known(ask(
        f"SELECT series, argMax(last, t) AS x FROM {schema.BUCKETS_1H} FINAL WHERE {condition} "
        f"AND t < {borders.closed_sql} AND t >= {borders.closed_sql} - {SILENCE_S} "
        f"GROUP BY series {CHEAPLY}",
        parameters,
    ), ids)  # fmt: skip
    found = np.full(len(ids), np.nan)
    found[places(rows["series"], ids)] = rows["x"].to_numpy()
    return found


def _by_series(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """Windows and arrivals know no classes."""
    asked = (
        "metric IN {metrics:Array(String)} AND entity IN {entities:Array(String)} "
        "AND series IN {series:Array(UInt64)}"
    )
    return asked, {
        "metrics": list(wanted.metrics),
        "entities": wanted.entities,
        "series": wanted.ids.tolist(),
    }
