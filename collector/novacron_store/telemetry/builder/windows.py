"""What slots become: functions over windows of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from novacron_store.telemetry.builder.expressions import Over, Select
from novacron_store.telemetry.builder.grid import Slots
from novacron_store.telemetry.builder.partials import Partials, together
from novacron_store.telemetry.builder.wanted import Part

Floats = NDArray[np.float64]
_PARTS: dict[Over, tuple[Part, ...]] = {
    Over.AVG: (Part.COUNT, Part.SUM),
    Over.MIN: (Part.MIN,),
    Over.MAX: (Part.MAX,),
    Over.SUM: (Part.SUM,),
    Over.COUNT: (Part.COUNT,),
    Over.FIRST: (Part.FIRST,),
    Over.LAST: (Part.LAST,),
    Over.STDDEV: (Part.COUNT, Part.SUM, Part.M2),
    Over.INCREASE: (Part.INCREASE,),
    Over.RATE: (Part.INCREASE,),
    Over.DELTA: (Part.FIRST, Part.LAST),
    Over.DERIVATIVE: (Part.COUNT, Part.SUM, Part.R, Part.RR, Part.RX),
    Over.QUANTILE: (Part.VALUES,),
}


def parts_of(over: Over, slots: Slots, closed: int) -> tuple[Part, ...]:
    """What has to be known of every slot, where hours are closed up to a time (Unix seconds)."""
    if over is Over.QUANTILE and slots.per_window == 1 and slots.has_border(closed):
        return (Part.QUANTILE,)
    return _PARTS[over]


def combine(of: Select, found: Partials, slots: Slots, seconds: float) -> Floats:
    """The function at each point; `seconds` is the length of a window."""
    if of.over is Over.QUANTILE and Part.QUANTILE not in found.of:
        return _quantiles(of, found, slots)
    every = found.of
    if of.over is Over.DERIVATIVE:
        every = _since_start(every, slots)
    whole = slide(every, slots.per_window)
    at = whole if of.over is not Over.DELTA else _behind(whole, slots.per_window)
    taken = {part: values[:, :: slots.per_step] for part, values in at.items()}
    match of.over:
        case Over.AVG:
            return taken[Part.SUM] / taken[Part.COUNT]
        case Over.STDDEV:
            return np.sqrt(taken[Part.M2] / taken[Part.COUNT])
        case Over.RATE:
            return taken[Part.INCREASE] / seconds
        case Over.DELTA:
            before = _before(whole, slots)[:, :: slots.per_step]
            return taken[Part.LAST] - np.where(np.isnan(before), taken[Part.FIRST], before)
        case Over.DERIVATIVE:
            return _slope(taken)
        case _:
            (values,) = taken.values()
            return values


def slide(of: dict[Part, Floats], width: int) -> dict[Part, Floats]:
    """Of every `width` slots in a row what they are together, in log2(width) steps: a window is put
    together of windows whose widths are powers of two."""
    whole: dict[Part, Floats] | None = None
    piece, size, at, left = of, 1, 0, width
    while left:
        count = next(iter(of.values())).shape[1] - width + 1
        if left & 1:
            part = {name: values[:, at : at + count] for name, values in piece.items()}
            whole = part if whole is None else together(whole, part)
            at += size
        left >>= 1
        if left:
            piece = together(
                {name: values[:, :-size] for name, values in piece.items()},
                {name: values[:, size:] for name, values in piece.items()},
            )
            size *= 2
    assert whole is not None  # a window has a slot
    return whole


def _behind(whole: dict[Part, Floats], width: int) -> dict[Part, Floats]:
    """Windows that have another one before them."""
    return {part: values[:, width:] for part, values in whole.items()}


def _before(whole: dict[Part, Floats], slots: Slots) -> Floats:
    """The last value of the window before."""
    last = whole[Part.LAST]
    return last[:, : last.shape[1] - slots.per_window]


def _since_start(of: dict[Part, Floats], slots: Slots) -> dict[Part, Floats]:
    """Times since the first slot begins, and not each slot's own: so slots can be added."""
    n, s, r, rr, rx = (of[p] for p in (Part.COUNT, Part.SUM, Part.R, Part.RR, Part.RX))
    begins = np.arange(n.shape[1]) * (slots.width / 1000)
    return {
        Part.COUNT: n,
        Part.SUM: s,
        Part.R: r + n * begins,
        Part.RR: rr + 2 * begins * r + n * begins * begins,
        Part.RX: rx + begins * s,
    }


def _slope(of: dict[Part, Floats]) -> Floats:
    n, s, r, rr, rx = (of[p] for p in (Part.COUNT, Part.SUM, Part.R, Part.RR, Part.RX))
    spread = n * rr - r * r
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n > 1, (n * rx - r * s) / spread, np.nan)


def _quantiles(of: Select, found: Partials, slots: Slots) -> Floats:
    rows = len(found.of[Part.VALUES])
    points = 1 + (slots.count - slots.per_window) // slots.per_step
    values = np.full((rows, points), np.nan)
    for row in range(rows):
        for point in range(points):
            first = point * slots.per_step
            window = [
                list_
                for slot in range(first, first + slots.per_window)
                for list_ in found.values.get((row, slot), ())
            ]
            if window:
                values[row, point] = np.quantile(np.concatenate(window), of.argument)
    return values


def smooth(values: Floats, points: int) -> Floats:
    """The mean of the last `points` values, those that are there, of each from the points-th on."""
    there = np.where(np.isnan(values), np.nan, 1.0)
    whole = slide({Part.SUM: values, Part.COUNT: there}, points)
    return whole[Part.SUM] / whole[Part.COUNT]
