"""A batch in two, for a destination that finds it too large."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from novacron_agent.otlp import Request


def halves(body: bytes) -> tuple[Request, Request] | None:
    """Two that together say what `body` (gzip) says; None for a single point."""
    try:
        plain = gzip.decompress(body)
        first, second = MetricsData.FromString(plain), MetricsData.FromString(plain)
    except (DecodeError, OSError, EOFError, zlib.error):
        return None
    left, right = _divisible(first), _divisible(second)
    if left is None or right is None:
        return None
    middle = len(left) // 2
    del left[middle:]
    del right[:middle]
    return _sealed(first), _sealed(second)


def _sealed(data: Any) -> Request:
    times = [point.time_unix_nano for point in _all_points(data)]
    body = gzip.compress(data.SerializeToString(), compresslevel=5, mtime=0)
    return Request(body, len(times), min(times, default=0), max(times, default=0))


def _divisible(data: Any) -> Any:
    """The outermost repeated field that holds more than one item."""
    groups = data.resource_metrics
    if len(groups) != 1:
        return groups if groups else None
    scoped = groups[0].scope_metrics
    if len(scoped) != 1:
        return scoped if scoped else None
    metrics = scoped[0].metrics
    if len(metrics) != 1:
        return metrics if metrics else None
    points = _points(metrics[0])
    return points if len(points) > 1 else None


def _all_points(data: Any) -> Iterator[Any]:
    for group in data.resource_metrics:
        for scoped in group.scope_metrics:
            for metric in scoped.metrics:
                yield from _points(metric)


def _points(metric: Any) -> Any:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()
