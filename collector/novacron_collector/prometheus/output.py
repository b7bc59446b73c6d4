"""OTLP written as bytes: what repeats in every request is serialized once and appended to.

A serialized message followed by more of its fields is that message with those fields.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from novacron_collector.prometheus.names import Descriptions, unit_of
from novacron_contract.errors import TooLarge

_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_VALUE = struct.Struct("<BQBd")  # time_unix_nano (3, fixed64) and as_double (4)
_END = struct.Struct("<BQBB")  # time_unix_nano and flags (8) with no_recorded_value
_OVERHEAD = 16  # bytes around a point, more than there are


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Of a metric: the field of Metric that it is, its data without points, its points' class."""

    field: int
    data: bytes
    point: Any


GAUGE = Kind(5, b"", NumberDataPoint)
SUM = Kind(
    7,
    Sum(aggregation_temporality=_CUMULATIVE, is_monotonic=True).SerializeToString(),
    NumberDataPoint,
)
HISTOGRAM = Kind(
    10,
    ExponentialHistogram(aggregation_temporality=_CUMULATIVE).SerializeToString(),
    ExponentialHistogramDataPoint,
)


def value_point(at: int, value: float) -> bytes:
    """A NumberDataPoint without attributes; `at` in unix nanoseconds."""
    return _VALUE.pack(0x19, at, 0x21, value)


def end_point(at: int) -> bytes:
    """As `value_point`, of a series that has no value any more."""
    return _END.pack(0x19, at, 0x40, 1)


class Output:
    """Points by resource and metric, in the order they came; at most about `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self._points: dict[bytes, defaultdict[tuple[str, Kind], list[bytes]]] = {}

    def add(self, resource: bytes, metric: str, kind: Kind, point: bytes) -> None:
        """
        Raises:
            TooLarge: it would be more than is allowed.
        """
        self._left -= len(point) + _OVERHEAD
        if self._left < 0:
            raise TooLarge("the request is too large as OTLP: send fewer samples at a time")
        metrics = self._points.get(resource)
        if metrics is None:
            metrics = self._points[resource] = defaultdict(list)
        metrics[metric, kind].append(_field(1, point))

    def serialized(self, descriptions: Descriptions) -> bytes:
        """As MetricsData."""
        groups = []
        for resource, metrics in self._points.items():
            scoped = b"".join(
                _field(2, _metric(name, kind, points, descriptions.of(name)))
                for (name, kind), points in metrics.items()
            )
            groups.append(_field(1, resource + _field(2, scoped)))
        return b"".join(groups)


def _metric(name: str, kind: Kind, points: list[bytes], description: str) -> bytes:
    head: bytes = Metric(name=name, unit=unit_of(name), description=description).SerializeToString()
    return head + _field(kind.field, kind.data + b"".join(points))


def _field(number: int, body: bytes) -> bytes:
    """A field below 16 that holds a message."""
    if len(body) < 0x80:
        return bytes((number << 3 | 2, len(body))) + body
    return bytes((number << 3 | 2,)) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
