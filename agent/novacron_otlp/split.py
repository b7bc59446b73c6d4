"""A request in two, for a destination that finds it too large."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData


def halves(body: bytes) -> tuple[bytes, bytes] | None:
    """Two OTLP bodies that together say what `body` says; None for a single point."""
    try:
        first, second = MetricsData.FromString(body), MetricsData.FromString(body)
    except DecodeError:
        return None
    left, right = _divisible(first), _divisible(second)
    if left is None or right is None:
        return None
    middle = len(left) // 2
    del left[middle:]
    del right[:middle]
    return bytes(first.SerializeToString()), bytes(second.SerializeToString())


def points(body: bytes) -> Iterator[Any]:
    for group in MetricsData.FromString(body).resource_metrics:
        for scoped in group.scope_metrics:
            for metric in scoped.metrics:
                yield from _points(metric)


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


def _points(metric: Any) -> Any:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()
