"""Requests that were read before but for their times and values: only the blanks are read.

A fleet sends the same series again and again. Of each ResourceMetrics that was read the slow way a
form is kept (form.py), found by the bytes of its resource and its length. What comes later is
compared with it byte for byte, blanks aside, all of a write in a few steps of NumPy; what differs
anywhere goes the slow way.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from novacron_collector.otlp.columns import Codes, Ids
from novacron_collector.otlp.fields import varint
from novacron_collector.otlp.form import DOUBLE, INTEGER, Blanks, UnusualError, blanks_of
from novacron_collector.otlp.parts import Source
from novacron_collector.otlp.plain import EXACT

_GROUP = _RESOURCE = 0x0A  # the tag of a ResourceMetrics in a request, and of the Resource in it
_NS_PER_MS = np.uint64(1_000_000)
_MAX_BYTES = 128 * 2**20
_FORM_BYTES, _POINT_BYTES = 1000, 45  # beside the text
_MOST_OF_A_POINT = 2000  # bytes: a form is read in Python, so that it costs no more than its points
_STRIKE_BYTES = 150  # of a resource that is counted
_STRIKES = 4  # tries in a row of one resource that served nobody: it says something else each time


@dataclass(slots=True)
class Form:
    """`text` has zeroes for blanks. `places`: where in it start, time and value of each point are,
    (3, points). `metrics` are codes of `Forms.names`."""

    text: bytes
    places: NDArray[np.int64]
    started: NDArray[np.bool_]
    series: Ids
    metrics: Codes
    source: Source
    used: bool = False


class Placed(NamedTuple):
    """A ResourceMetrics that was read the slow way: of its points that are stored the series and
    the metrics, first those of gauges, then those of sums, in order."""

    source: Source
    series: Ids
    metrics: list[str]


# A ResourceMetrics: where it begins, where its content does, where it ends, and its bytes up to the
# end of its resource. A plain tuple is made in a fifth of the time of a named one.
Piece = tuple[int, int, int, bytes]


@dataclass(frozen=True, slots=True)
class Filled:
    """Forms that were filled in: `forms` and `requests` are parallel, the others are columns over
    their points. `form` says of which each is; `metric` is a code of `Forms.names`; times are unix
    milliseconds, `start` 0 where there is none; `rounded`: which values lost digits as Float64."""

    forms: list[Form]
    requests: Codes
    form: Codes
    series: Ids
    metric: Codes
    start: Codes
    ts: Codes
    value: NDArray[np.float64]
    rounded: NDArray[np.bool_]

    def where(self, keep: NDArray[np.bool_]) -> Filled:
        """Some of the points, of all the forms."""
        if keep.all():
            return self
        columns = ("form", "series", "metric", "start", "ts", "value", "rounded")
        return replace(self, **{name: getattr(self, name)[keep] for name in columns})


@dataclass(frozen=True, slots=True)
class Reading:
    """What there is to do with some requests. `rest`: what of each is to be read the slow way;
    `unknown`: the pieces in it, None where they cannot be told apart."""

    data: bytes
    filled: Filled | None
    rest: list[bytes]
    unknown: list[list[Piece] | None]


@dataclass(slots=True)
class Forms:
    """Serves one thread. `names` of metrics, by code. Beyond `most_bytes` of forms what is new goes
    the slow way."""

    most_bytes: int = _MAX_BYTES
    names: list[str] = field(default_factory=list)
    _codes: dict[str, int] = field(default_factory=dict)
    _forms: dict[bytes, Form] = field(default_factory=dict)
    _last: dict[bytes, Form] = field(default_factory=dict)  # by resource, as the next one
    _strikes: dict[bytes, int] = field(default_factory=dict)
    _bytes: int = 0

    def forget(self) -> None:
        self.names = []
        self._codes.clear()
        self._forms.clear()
        self._last.clear()
        self._strikes.clear()
        self._bytes = 0

    def read(self, bodies: Sequence[bytes]) -> Reading:
        """Fill in the forms that fit."""
        data = b"".join(bodies)
        unknown: list[list[Piece] | None] = []
        pieces: list[Piece] = []
        forms: list[Form] = []
        requests: list[int] = []
        end = 0
        for request, body in enumerate(bodies):
            start, end = end, end + len(body)
            try:
                every = _pieces(data, start, end)
            except (IndexError, UnusualError):
                unknown.append(None)
                continue
            found = [self._forms.get(key) for _, _, _, key in every]
            known = list(compress(every, found))
            pieces += known
            forms += filter(None, found)
            requests += [request] * len(known)
            unknown.append([piece for piece, form in zip(every, found, strict=True) if not form])
        filled = None
        if forms:
            fits, filled = _fill(data, pieces, forms, requests)
            for at in np.flatnonzero(~fits).tolist():
                mine = unknown[requests[at]]
                assert mine is not None
                insort(mine, pieces[at])
        rest = [
            body if some is None else b"".join(data[begin:stop] for begin, _, stop, _ in some)
            for body, some in zip(bodies, unknown, strict=True)
        ]
        return Reading(data, filled, rest, unknown)

    def learn(self, data: bytes, piece: Piece, placed: Callable[[], Placed]) -> None:
        """Keep a form of what was read the slow way, unless that was no use for this resource."""
        begin, start, end, key = piece
        resource = key[start - begin :]
        last = self._last.get(resource)
        if last is not None and last.used:
            self._strikes[resource] = 0
        strikes = self._strikes.get(resource)
        if self._bytes > self.most_bytes or (strikes or 0) > _STRIKES:
            return
        if strikes is None:
            self._bytes += len(resource) + _STRIKE_BYTES
        self._strikes[resource] = (strikes or 0) + 1
        content, stored = data[start:end], placed()
        if len(content) > len(stored.series) * _MOST_OF_A_POINT:
            return
        try:
            form = self._form(content, blanks_of(content), stored)
        except (IndexError, KeyError, UnusualError):
            return
        if form is not None:
            self._forms[key] = self._last[resource] = form
            self._bytes += len(content) + len(form.series) * _POINT_BYTES + _FORM_BYTES

    def _form(self, content: bytes, blanks: Blanks, placed: Placed) -> Form | None:
        """None: not every point was stored."""
        count = len(blanks.times)
        if not count or count != len(placed.series):
            return None
        # Placed are gauges before sums, blanks as they come.
        order = np.argsort(np.array(blanks.is_sum), kind="stable")
        series, metrics = np.empty(count, np.uint64), np.empty(count, np.int64)
        series[order] = placed.series
        metrics[order] = [self._code(name) for name in placed.metrics]
        places = np.array([blanks.starts, blanks.times, blanks.values], np.int64)
        text = _blanked(np.frombuffer(content, np.uint8), places).tobytes()
        started = np.array(blanks.started)
        return Form(text, places, started, series, metrics, placed.source)

    def _code(self, name: str) -> int:
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = len(self.names)
            self.names.append(name)
            self._bytes += len(name)
        return code


def _pieces(data: bytes, at: int, end: int) -> list[Piece]:
    """
    Raises:
        IndexError, UnusualError: it is no list of ResourceMetrics.
    """
    found = []
    while at < end:
        if data[at] != _GROUP:
            raise UnusualError
        content, stop = _delimited(data, at + 1, end)
        resource_end = content
        if content < stop and data[content] == _RESOURCE:
            _, resource_end = _delimited(data, content + 1, stop)
        found.append((at, content, stop, data[at:resource_end]))
        at = stop
    return found


def _delimited(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the content begins and stops whose length is here."""
    length = data[at]
    begin = at + 1
    if length >= 0x80:
        length, begin = varint(data, at)
    if begin + length > end:
        raise IndexError(at)
    return begin, begin + length


def _fill(
    data: bytes, pieces: Sequence[Piece], forms: Sequence[Form], requests: Sequence[int]
) -> tuple[NDArray[np.bool_], Filled | None]:
    """Which pieces are their forms but for the blanks, and what is in those."""
    array = np.frombuffer(data, np.uint8)
    counts = np.array([len(form.series) for form in forms])
    places = np.concatenate([form.places for form in forms], axis=1)
    places += np.repeat(np.array([content for _, content, _, _ in pieces]), counts)
    blanked = _blanked(array, places).tobytes()
    each = zip(pieces, forms, strict=True)
    same = [form.text == blanked[content:stop] for (_, content, stop, _), form in each]
    tags = array[places[2] - 1]
    numbers = (tags == DOUBLE) | (tags == INTEGER)
    fits = np.array(same) & np.logical_and.reduceat(numbers, np.cumsum(counts) - counts)
    if not fits.any():
        return fits, None
    if not fits.all():
        of_point = np.repeat(fits, counts)
        places, tags, counts = places[:, of_point], tags[of_point], counts[fits]
    kept = list(compress(forms, fits))
    for form in kept:
        form.used = True
    start, time, value = _words(array)[places]
    start[~np.concatenate([form.started for form in kept])] = 0
    is_integer, integer = tags == INTEGER, value.view(np.int64)
    return fits, Filled(
        kept,
        np.array(requests)[fits],
        form=np.repeat(np.arange(len(kept)), counts),
        series=np.concatenate([form.series for form in kept]),
        metric=np.concatenate([form.metrics for form in kept]),
        start=(start // _NS_PER_MS).view(np.int64),
        ts=(time // _NS_PER_MS).view(np.int64),
        value=np.where(is_integer, integer, value.view(np.float64)),
        rounded=is_integer & ((integer > EXACT) | (integer < -EXACT)),
    )


def _blanked(text: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A copy with zeroes for blanks, and for what says of which type a value is."""
    copy = text.copy()
    words = _words(copy)
    for row in places:
        words[row] = 0
    copy[places[2] - 1] = 0
    return copy


def _words(text: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The eight bytes that begin at each place."""
    shape, strides = (max(len(text) - 7, 0),), (1,)
    return np.ndarray(shape, np.dtype("<u8"), text, strides=strides)
