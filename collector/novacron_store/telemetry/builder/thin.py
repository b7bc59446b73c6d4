"""Lines thinned for drawing: no more points than pixels, and gaps stay gaps.

Points are chosen by Largest-Triangle-Three-Buckets (Sveinn Steinarsson, Downsampling Time Series
for Visual Representation, University of Iceland, 2013): of each bucket the one that makes the
largest triangle with the point chosen before and with the mean of the next bucket.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tsdownsample import LTTBDownsampler

from novacron_contract.errors import BadMessage
from novacron_store.telemetry.builder.lists import table

Times = NDArray[np.int64]
Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_LTTB = LTTBDownsampler()  # type: ignore[no-untyped-call]
# Looking whether it takes integers and floats costs more than thinning a piece of a line.
_LTTB.x_dtype_regex_list = _LTTB.y_dtype_regex_list = None


@dataclass(frozen=True, slots=True)
class Line:
    """`times` in Unix milliseconds, in order; a value that is NaN is a gap."""

    labels: dict[str, str]
    times: Times
    values: Floats


def lines_table(lines: list[Line]) -> pa.Table:
    """A row for each line: labels (a map), times (ms, UTC) and values, null in a gap."""
    times = np.concatenate([np.empty(0, np.int64), *(line.times for line in lines)])
    values = np.concatenate([np.empty(0), *(line.values for line in lines)])
    lengths = [len(line.times) for line in lines]
    return table([line.labels for line in lines], lengths, times, values)


def thin(times: Times, values: Floats, pixels: int) -> tuple[Times, Floats]:
    """At most so many of a line's values, and a NaN in each gap between them.

    The first and the last value stay, and so do the values beside each gap; the others are shared
    out among the pieces between gaps by their lengths. Of a line in more pieces than `pixels` can
    hold that way, points are chosen as if it had no gaps: pieces may vanish, and gaps with them
    become one, but values with a gap between them still have one.

    Raises:
        BadMessage: fewer than two pixels.
    """
    if pixels < 2:
        raise BadMessage(f"a line of {pixels} pixels: expected 2 or more")
    (there,) = np.nonzero(~np.isnan(values))
    if not len(there):
        return times[:0], values[:0]
    ends = np.append(np.flatnonzero(np.diff(there) > 1) + 1, len(there))  # of pieces, in `there`
    chosen = _chosen(times[there], values[there], ends, pixels)
    piece = np.searchsorted(ends, chosen, "right")
    (left,) = np.nonzero(np.diff(piece))
    gaps = there[ends[piece[left]] - 1] + 1  # the first time without a value
    kept = np.sort(np.concatenate((there[chosen], gaps)))
    return times[kept], values[kept]


def _chosen(times: Times, values: Floats, ends: Places, pixels: int) -> Places:
    """Which values stay of pieces that end before `ends`."""
    lengths = np.diff(ends, prepend=0)
    least = np.minimum(lengths, 2)
    spare = pixels - int(least.sum())
    if len(values) <= pixels or spare < 0:
        return _largest_triangles(times, values, pixels)
    room = lengths - least
    shares = least + np.diff(np.cumsum(room) * spare // room.sum(), prepend=0)
    return np.concatenate([
        end - length + _largest_triangles(times[end - length:end], values[end - length:end], share)
        for end, length, share in zip(ends, lengths, shares.tolist(), strict=True)
    ])  # fmt: skip


def _largest_triangles(times: Times, values: Floats, points: int) -> Places:
    """Which of them stay: so many, the first and the last among them."""
    if points >= len(values):
        return np.arange(len(values))
    if points == 2:  # the library refuses fewer than three
        return np.array([0, len(values) - 1])
    since = times - times[0]  # smaller numbers, smaller errors of areas
    return np.asarray(_LTTB.downsample(since, values, n_out=points), np.intp)
