"""Forms held against what came, and read where they fit, in a few steps of NumPy over a write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress

import numpy as np
from numpy.typing import NDArray

from novacron_collector.otlp.columns import Codes, Ids
from novacron_collector.otlp.form import DOUBLE, INTEGER
from novacron_collector.otlp.parts import Source
from novacron_collector.otlp.plain import EXACT

_NS_PER_MS = np.uint64(1_000_000)

Span = tuple[int, int]  # where it begins and ends


@dataclass(slots=True)
class Form:
    """`text` has zeroes for blanks. `places`: where in it start, time and value of each point are,
    (3, points); `started`: which points have a start. `metrics` are codes of `Forms.names`.
    `sources`: where the points come from, in their order, `sizes` of them from each."""

    text: bytes
    places: NDArray[np.int64]
    started: NDArray[np.bool_]
    series: Ids
    metrics: Codes
    sources: list[Source]
    sizes: Codes
    used: bool = False


@dataclass(frozen=True, slots=True)
class Filled:
    """Forms that were filled in: `sources` and `requests` are parallel, the others are columns over
    their points. `source` says from which each is; `metric` is a code of `Forms.names`; times are
    unix milliseconds, `start` 0 where there is none; `rounded`: which values lost digits as
    Float64."""

    sources: list[Source]
    requests: Codes
    source: Codes
    series: Ids
    metric: Codes
    start: Codes
    ts: Codes
    value: NDArray[np.float64]
    rounded: NDArray[np.bool_]

    def where(self, keep: NDArray[np.bool_]) -> Filled:
        """Some of the points, from all the sources."""
        if keep.all():
            return self
        columns = ("source", "series", "metric", "start", "ts", "value", "rounded")
        return replace(self, **{name: getattr(self, name)[keep] for name in columns})


def fill(
    data: bytes, spans: Sequence[Span], forms: Sequence[Form], requests: Sequence[int]
) -> tuple[NDArray[np.bool_], Filled | None]:
    """Which spans of `data` are their forms but for the blanks, and what is in those. The three
    sequences are parallel, and not empty."""
    counts = np.array([len(form.series) for form in forms])
    places = np.concatenate([form.places for form in forms], axis=1)
    places += np.repeat(np.array([begin for begin, _ in spans]), counts)
    text = blanked(data, places)
    each = zip(spans, forms, strict=True)
    same = np.array([form.text == text[begin:end] for (begin, end), form in each])
    array = np.frombuffer(data, np.uint8)
    tags = array[places[2] - 1]
    numbers = (tags == DOUBLE) | (tags == INTEGER)
    fits = same & np.logical_and.reduceat(numbers, np.cumsum(counts) - counts)
    if not fits.any():
        return fits, None
    if not fits.all():
        of_point = np.repeat(fits, counts)
        places, tags = places[:, of_point], tags[of_point]
    return fits, _filled(_words(array)[places], tags, list(compress(forms, fits)), requests, fits)


def _filled(
    words: NDArray[np.uint64],
    tags: NDArray[np.uint8],
    forms: list[Form],
    requests: Sequence[int],
    fits: NDArray[np.bool_],
) -> Filled:
    for form in forms:
        form.used = True
    start, time, value = words
    started = np.concatenate([form.started for form in forms])
    if not started.all():
        start[~started] = 0
    sizes = np.concatenate([form.sizes for form in forms])
    is_integer, integer = tags == INTEGER, value.view(np.int64)
    return Filled(
        list(chain.from_iterable(form.sources for form in forms)),
        np.repeat(np.array(requests)[fits], [len(form.sources) for form in forms]),
        source=np.repeat(np.arange(len(sizes)), sizes),
        series=np.concatenate([form.series for form in forms]),
        metric=np.concatenate([form.metrics for form in forms]),
        start=(start // _NS_PER_MS).view(np.int64),
        ts=(time // _NS_PER_MS).view(np.int64),
        value=np.where(is_integer, integer, value.view(np.float64)),
        rounded=is_integer & ((integer > EXACT) | (integer < -EXACT)),
    )


def blanked(text: bytes, places: NDArray[np.int64]) -> bytearray:
    """A copy with zeroes for blanks, and for what says of which type a value is."""
    copy = bytearray(text)
    array = np.frombuffer(copy, np.uint8)
    words = _words(array)
    for row in places:
        words[row] = 0
    array[places[2] - 1] = 0
    return copy


def _words(text: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The eight bytes that begin at each place."""
    shape, strides = (max(len(text) - 7, 0),), (1,)
    return np.ndarray(shape, np.dtype("<u8"), text, strides=strides)
