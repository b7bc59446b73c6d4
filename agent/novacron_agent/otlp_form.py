"""The OTLP message of a reading with blanks for its times and values, whose width is fixed.

What is the same at every tick (names, units, attributes) is written once, byte for byte as protobuf
writes it. A tick fills the blanks in, in one call.
"""

from __future__ import annotations

import struct

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2

from novacron_agent.readings import Attributes, Reading, Series, Value
from novacron_contract.metrics import Kind, Metric

# Numbers of fields, and tags: a number with what follows: 8 bytes (1), or a length and bytes (2).
_BYTES = 2
_METRICS = 2  # of ScopeMetrics
_DATA = {Kind.GAUGE: 5, Kind.UPDOWN: 7, Kind.COUNTER: 7}  # of Metric
_POINTS = 1  # of Gauge and Sum
_START, _TIME, _DOUBLE, _INT = b"\x11", b"\x19", b"\x21", b"\x31"  # of NumberDataPoint
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
            points = [_attributes(series[at].attributes) for at in group]
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


def joined(metrics: bytes) -> bytes:
    """Fields `metrics` of ScopeMetrics, with all points of a name in one of them, in their order.

    OTLP wants a name once in a scope. It takes twice as long as filling in, but is seldom needed,
    and for readings that go together by chance: no form of them would be used again.
    """
    by_name: dict[str, metrics_pb2.Metric] = {}
    for metric in metrics_pb2.ScopeMetrics.FromString(metrics).metrics:
        known = by_name.setdefault(metric.name, metric)
        if known is not metric:
            known.MergeFrom(metric)
    return b"".join(field(_METRICS, m.SerializeToString()) for m in by_name.values())


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
        inside = sum(len(_head(_POINTS, length)) + length for length in lengths)
        end = _sum_end(metric) if adds_up else b""
        named = metrics_pb2.Metric(
            name=metric.name, description=metric.description, unit=metric.unit
        ).SerializeToString()
        data = _head(_DATA[metric.kind], inside + len(end))
        self._text += _head(_METRICS, len(named) + len(data) + inside + len(end)) + named + data
        for attributes, length in zip(points, lengths, strict=True):
            self._before.append(self._text + _head(_POINTS, length))
            self._text = attributes
        self._text += end

    def done(self) -> tuple[list[bytes], bytes]:
        return self._before, self._text


def _attributes(attributes: Attributes) -> bytes:
    """Of a data point."""
    message = metrics_pb2.NumberDataPoint(attributes=key_values(attributes))
    return bytes(message.SerializeToString())


def _sum_end(metric: Metric) -> bytes:
    """What follows a sum's data points."""
    message = metrics_pb2.Sum(
        aggregation_temporality=metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE,
        is_monotonic=metric.kind is Kind.COUNTER,
    )
    return bytes(message.SerializeToString())


def key_values(attributes: Attributes) -> list[KeyValue]:
    return [KeyValue(key=name, value=_any(value)) for name, value in attributes.items()]


def _any(value: str | int | float) -> AnyValue:
    """Names that the kernel hands out may be any bytes; protobuf takes UTF-8 only."""
    if isinstance(value, str):
        return AnyValue(string_value=value.encode("utf-8", "replace").decode("utf-8"))
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(double_value=value)


def field(number: int, content: bytes) -> bytes:
    return _head(number, len(content)) + content


def _head(number: int, length: int) -> bytes:
    """The tag of a field below 16 and the varint of its length."""
    varint = bytearray()
    while length > 127:
        varint.append(length & 127 | 128)
        length >>= 7
    return bytes((number << 3 | _BYTES, *varint, length))
