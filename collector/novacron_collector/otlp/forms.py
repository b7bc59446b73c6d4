"""Requests that were read before but for their times and values: only the blanks are read.

A fleet sends the same series again and again. Of each ResourceMetrics that was read the slow way a
form is kept (form.py), found by the bytes of its resource and its length. What comes later is
compared with it byte for byte, blanks aside, all of a write in a few steps of NumPy; what differs
anywhere goes the slow way. Of a request all of whose ResourceMetrics were filled in one form is
kept, too: next time it is one comparison.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, compress
from typing import NamedTuple

import numpy as np

from novacron_collector.otlp.columns import Ids
from novacron_collector.otlp.fields import varint
from novacron_collector.otlp.filling import Filled, Form, Span, blanked, fill
from novacron_collector.otlp.form import Blanks, UnusualError, blanks_of
from novacron_collector.otlp.parts import Source

_GROUP = _RESOURCE = 0x0A  # the tag of a ResourceMetrics in a request, and of the Resource in it
_MAX_BYTES = 128 * 2**20
_FORM_BYTES, _POINT_BYTES = 1000, 45  # beside the text
_MOST_OF_A_POINT = 2000  # bytes: a form is read in Python, so that it costs no more than its points
_STRIKE_BYTES = 150  # of a key that is counted
_STRIKES = 4  # tries in a row with one key that served nobody: it says something else each time


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
class Reading:
    """What there is to do with some requests. `rest`: what of each is to be read the slow way;
    `unknown`: the pieces in it, by their places in `data`, None where they cannot be told apart."""

    data: bytes
    filled: list[Filled]
    rest: list[bytes]
    unknown: list[list[Piece] | None]


@dataclass(slots=True)
class Forms:
    """Serves one thread. `names` of metrics, by code. Beyond `most_bytes` of forms what is new goes
    the slow way."""

    most_bytes: int = _MAX_BYTES
    names: list[str] = field(default_factory=list)
    _codes: dict[str, int] = field(default_factory=dict)
    _forms: dict[bytes, Form] = field(default_factory=dict)  # by _key_of_all, too
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
        filled, left = self._fill_all(bodies)
        reading = self._read_pieces(left)
        return Reading(reading.data, filled + reading.filled, reading.rest, reading.unknown)

    def learn(self, data: bytes, piece: Piece, placed: Callable[[], Placed]) -> None:
        """Keep a form of what was read the slow way, unless that was no use for this resource."""
        begin, start, end, key = piece
        resource = key[start - begin :]
        if not self._is_of_use(resource, self._last.get(resource), self.most_bytes):
            return
        content, stored = data[start:end], placed()
        if len(content) > len(stored.series) * _MOST_OF_A_POINT:
            return
        try:
            form = self._form(content, blanks_of(content), stored)
        except (IndexError, KeyError, UnusualError):
            return
        if form is not None:
            self._last[resource] = form
            self._keep(key, form)

    def _fill_all(self, bodies: Sequence[bytes]) -> tuple[list[Filled], Sequence[bytes]]:
        """Requests that are known from their beginning to their end, and those that are not, with
        nothing in place of the others."""
        forms = [self._forms.get(_key_of_all(body)) for body in bodies]
        known = [number for number, form in enumerate(forms) if form]
        if not known:
            return [], bodies
        some = [bodies[number] for number in known]
        ends = list(accumulate(map(len, some)))
        spans = list(zip([0, *ends[:-1]], ends, strict=True))
        fits, filled = fill(b"".join(some), spans, list(filter(None, forms)), known)
        left = list(bodies)
        for number in compress(known, fits.tolist()):
            left[number] = b""
        return [] if filled is None else [filled], left

    def _read_pieces(self, bodies: Sequence[bytes]) -> Reading:
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
        filled: list[Filled] = []
        if forms:
            filled = self._fill_pieces(data, pieces, forms, requests, unknown)
            self._learn_all(bodies, pieces, forms, requests, unknown)
        rest = [
            body if some is None else b"".join(data[begin:stop] for begin, _, stop, _ in some)
            for body, some in zip(bodies, unknown, strict=True)
        ]
        return Reading(data, filled, rest, unknown)

    def _fill_pieces(
        self,
        data: bytes,
        pieces: Sequence[Piece],
        forms: Sequence[Form],
        requests: Sequence[int],
        unknown: Sequence[list[Piece] | None],
    ) -> list[Filled]:
        """Those that do not fit are unknown, too."""
        spans: list[Span] = [(content, stop) for _, content, stop, _ in pieces]
        fits, filled = fill(data, spans, forms, requests)
        for at in np.flatnonzero(~fits).tolist():
            mine = unknown[requests[at]]
            assert mine is not None
            insort(mine, pieces[at])
        return [] if filled is None else [filled]

    def _learn_all(
        self,
        bodies: Sequence[bytes],
        pieces: Sequence[Piece],
        forms: Sequence[Form],
        requests: Sequence[int],
        unknown: Sequence[list[Piece] | None],
    ) -> None:
        """Keep forms of requests of which everything was filled in, while there is plenty of room:
        they can be done without."""
        ends = np.searchsorted(requests, np.arange(len(bodies) + 1)).tolist()
        for request, body in enumerate(bodies):
            some = slice(ends[request], ends[request + 1])
            if unknown[request] or len(forms[some]) < 2:  # one is its own form
                continue
            key = _key_of_all(body)
            if self._is_of_use(key, self._forms.get(key), self.most_bytes // 2):
                self._keep(key, _joined(body, pieces[some], forms[some]))

    def _is_of_use(self, key: bytes, last: Form | None, most_bytes: int) -> bool:
        """May one more form be kept that has this key, after the last one?"""
        if last is not None and last.used:
            self._strikes[key] = 0
        strikes = self._strikes.get(key)
        if self._bytes > most_bytes or (strikes or 0) > _STRIKES:
            return False
        if strikes is None:
            self._bytes += len(key) + _STRIKE_BYTES
        self._strikes[key] = (strikes or 0) + 1
        return True

    def _keep(self, key: bytes, form: Form) -> None:
        replaced = self._forms.get(key)
        self._bytes += _size(form) - (_size(replaced) if replaced else 0)
        self._forms[key] = form

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
        text = bytes(blanked(content, places))
        started, size = np.array(blanks.started), np.array([count])
        return Form(text, places, started, series, metrics, [placed.source], size)

    def _code(self, name: str) -> int:
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = len(self.names)
            self.names.append(name)
            self._bytes += len(name)
        return code


def _joined(body: bytes, pieces: Sequence[Piece], forms: Sequence[Form]) -> Form:
    """One form of a request that consists of these."""
    start = pieces[0][0]
    moved = [
        form.places + (content - start)
        for form, (_, content, _, _) in zip(forms, pieces, strict=True)
    ]
    places = np.concatenate(moved, axis=1)
    return Form(
        bytes(blanked(body, places)),
        places,
        np.concatenate([form.started for form in forms]),
        np.concatenate([form.series for form in forms]),
        np.concatenate([form.metrics for form in forms]),
        [source for form in forms for source in form.sources],
        np.concatenate([form.sizes for form in forms]),
    )


def _size(form: Form) -> int:
    return len(form.text) + len(form.series) * _POINT_BYTES + _FORM_BYTES


def _key_of_all(body: bytes) -> bytes:
    """Of a request as a whole; a piece's key never begins with a zero. Empty where it has none."""
    try:
        _, _, _, first = _piece(body, 0, len(body))
    except (IndexError, UnusualError):
        return b""
    return b"\0%d " % len(body) + first


def _pieces(data: bytes, at: int, end: int) -> list[Piece]:
    """
    Raises:
        IndexError, UnusualError: it is no list of ResourceMetrics.
    """
    found = []
    while at < end:
        piece = _piece(data, at, end)
        found.append(piece)
        at = piece[2]
    return found


def _piece(data: bytes, at: int, end: int) -> Piece:
    if data[at] != _GROUP:
        raise UnusualError
    content, stop = _delimited(data, at + 1, end)
    resource_end = content
    if content < stop and data[content] == _RESOURCE:
        _, resource_end = _delimited(data, content + 1, stop)
    return (at, content, stop, data[at:resource_end])


def _delimited(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the content begins and stops whose length is here."""
    length = data[at]
    begin = at + 1
    if length >= 0x80:
        length, begin = varint(data, at)
    if begin + length > end:
        raise IndexError(at)
    return begin, begin + length
