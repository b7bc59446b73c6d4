"""The OTLP message of a reading with blanks for its times and values, whose width is fixed.

What is the same at every tick (names, units, attributes) is written once, byte for byte as protobuf
writes it. A tick fills the blanks in, in one call.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from novacron_agent.readings import Reading, Series, Value
from novacron_contract.metrics import Kind, Metric
from novacron_otlp import wire

# Numbers of fields, and tags: a number with what follows: 8 bytes (1), or a length and bytes (2).
_METRICS = 2  # of ScopeMetrics
_NAME, _DESCRIPTION, _UNIT = 1, 2, 3  # of Metric
_DATA = {Kind.GAUGE: 5, Kind.UPDOWN: 7, Kind.COUNTER: 7}
_POINTS = 1  # of Gauge and Sum
_TEMPORALITY, _CUMULATIVE = 2, 2  # of Sum, and its value
_MONOTONIC = 3
_START, _TIME, _DOUBLE, _INT = b"\x11", b"\x19", b"\x21", b"\x31"  # of NumberDataPoint
_ATTRIBUTES = 7
_Point = tuple[bool, bool]  # it has a start, and its value is a whole number


class Form:
    """The metrics of a reading. `started`: it is known since when its counters count."""

    def __init__(
        self, series: list[Series], types: tuple[type[Value], ...], *, started: bool
    ) -> None:
        by_metric: dict[Metric, list[int]] = {}
        for at, of in enumerate(series):
            by_metric.setdefault(of.metric, []).append(at)
        self.names = frozenset(metric.name for metric in by_metric)
        self._order = [at for group in by_metric.values() for at in group]
        self._kinds = [
            (started and _adds_up(series[at].metric), types[at] is int) for at in self._order
        ]
        chunks = _Chunks(started=started)
        for metric, group in by_metric.items():
            points = [_attributes(series[at]) for at in group]
            chunks.add_metric(metric, points)
        texts, self._tail = chunks.done()
        widths = [
            f"{len(text)}s{len(_times(kind, 0, 0))}s{'q' if kind[1] else 'd'}"
            for text, kind in zip(texts, self._kinds, strict=True)
        ]
        self._blanks = struct.Struct("<" + "".join(widths))
        self._texts = texts

    def filled(self, reading: Reading) -> bytes:
        """The field `metrics` of ScopeMetrics, once for each metric."""
        times = {kind: _times(kind, reading.start_ns, reading.time_ns) for kind in _KINDS}
        values = reading.values
        arguments: list[bytes | Value] = [b""] * (3 * len(self._texts))
        arguments[0::3] = self._texts
        arguments[1::3] = [times[kind] for kind in self._kinds]
        arguments[2::3] = [values[at] for at in self._order]
        return self._blanks.pack(*arguments) + self._tail


def joined(readings: Iterable[Reading]) -> bytes:
    """Fields `metrics` of ScopeMetrics, with all points of a name in one of them, in their order.

    OTLP wants a name once in a scope. It takes longer than filling in, but is seldom needed, and
    for readings that go together by chance: no form of them would be used again.
    """
    by_metric: dict[Metric, list[bytes]] = {}
    for reading in readings:
        for of, value in zip(reading.series, reading.values, strict=True):
            by_metric.setdefault(of.metric, []).append(_point(reading, of, value))
    return b"".join(_metric(metric, points) for metric, points in by_metric.items())


def _metric(metric: Metric, points: list[bytes]) -> bytes:
    data = b"".join(wire.field(_POINTS, point) for point in points) + _end(metric)
    return wire.field(_METRICS, _named(metric) + wire.field(_DATA[metric.kind], data))


def _point(reading: Reading, of: Series, value: Value) -> bytes:
    kind = (reading.start_ns > 0 and _adds_up(of.metric), type(value) is int)
    times = _times(kind, reading.start_ns, reading.time_ns)
    return times + struct.pack("<q" if kind[1] else "<d", value) + _attributes(of)


_KINDS = [(has_start, whole) for has_start in (False, True) for whole in (False, True)]


def _adds_up(metric: Metric) -> bool:
    return metric.kind is not Kind.GAUGE


def _times(kind: _Point, start_ns: int, time_ns: int) -> bytes:
    """What stands before a value: since when it counts, where that is known, and its time."""
    has_start, whole = kind
    start = _START + struct.pack("<Q", start_ns) if has_start else b""
    return start + _TIME + struct.pack("<Q", time_ns) + (_INT if whole else _DOUBLE)


class _Chunks:
    """What stands between the blanks."""

    def __init__(self, *, started: bool) -> None:
        self._started = started
        self._before: list[bytes] = []
        self._text = b""

    def add_metric(self, metric: Metric, points: list[bytes]) -> None:
        """`points`: the attributes of each."""
        adds_up = _adds_up(metric)
        blank = len(_times((self._started and adds_up, True), 0, 0)) + 8
        lengths = [blank + len(attributes) for attributes in points]
        inside = sum(len(wire.head(_POINTS, length)) + length for length in lengths)
        end, named = _end(metric), _named(metric)
        data = wire.head(_DATA[metric.kind], inside + len(end))
        self._text += wire.head(_METRICS, len(named) + len(data) + inside + len(end)) + named + data
        for attributes, length in zip(points, lengths, strict=True):
            self._before.append(self._text + wire.head(_POINTS, length))
            self._text = attributes
        self._text += end

    def done(self) -> tuple[list[bytes], bytes]:
        return self._before, self._text


def _named(metric: Metric) -> bytes:
    name, unit = wire.text(_NAME, metric.name), wire.text(_UNIT, metric.unit)
    return name + wire.text(_DESCRIPTION, metric.description) + unit


def _attributes(of: Series) -> bytes:
    """Of a data point."""
    return wire.key_values(_ATTRIBUTES, of.attributes)


def _end(metric: Metric) -> bytes:
    """What follows the data points: of a sum alone there is something."""
    if not _adds_up(metric):
        return b""
    monotonic = wire.whole(_MONOTONIC, 1) if metric.kind is Kind.COUNTER else b""
    return wire.whole(_TEMPORALITY, _CUMULATIVE) + monotonic
