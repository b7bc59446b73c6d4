"""Quantiles of what is known only as counts in buckets.

Each row of `counts` is a distribution, in the buckets that are told beside it: in ascending order,
exact integers. A distribution of nothing has no quantile: NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def of_explicit(bounds: Sequence[float], counts: Counts, share: float) -> Floats:
    """The values that `share` of the measurements do not exceed, as if they were spread evenly in
    their bucket; beyond the last bound all that is known is that bound."""
    highs = np.array([*bounds, bounds[-1]])
    lows = np.array([min(0.0, bounds[0]), *bounds])
    place, part = _places(counts, share)
    low, high = lows[place], highs[place]
    return np.asarray(np.minimum(low + (high - low) * part, high))  # rounding may lead over it


def of_exponential(lows: Floats, highs: Floats, counts: Counts, share: float) -> Floats:
    """The same of buckets whose borders grow by a factor: their logarithms are spread evenly. In
    the bucket around zero, whose borders have two signs, measurements themselves are, on that side
    of zero where the others are."""
    place, part = _places(counts, share)
    low, high = lows[place], highs[place]
    around = (low <= 0) & (high >= 0)
    negative, positive = ((counts[:, side] > 0).any(axis=1) for side in (highs < 0, lows > 0))
    low = np.where(around & positive & ~negative, 0.0, low)
    high = np.where(around & negative & ~positive, 0.0, high)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(around, low + (high - low) * part, low * (high / low) ** part)
    return np.clip(found, low, high)


def _places(counts: Counts, share: float) -> tuple[NDArray[np.intp], Floats]:
    """The bucket of the quantile of each row, and the part of its measurements up to there."""
    reached = np.cumsum(counts, axis=1)
    rank = share * reached[:, -1]
    place = np.argmax((reached >= rank[:, None]) & (counts > 0), axis=1)
    rows = np.arange(len(counts))
    count = counts[rows, place]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = (rank - (reached[rows, place] - count)) / count
    return place, np.where(count > 0, part, np.nan)
