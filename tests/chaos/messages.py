"""What a sender of the storm sends: numbered points, each at a millisecond of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, MetricsData

GAUGE = "chaos.number"
COUNTER = "chaos.total"
METRICS = (GAUGE, COUNTER)

_RESTART_EVERY = 997  # points of a counter, which begins at 0 again then
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Point:
    """`ts` in unix milliseconds."""

    number: int
    ts: int

    def value(self, metric: str) -> float:
        return float(self.number if metric == GAUGE else self.number % _RESTART_EVERY * 3)


def body(entity: str, points: Sequence[Point]) -> bytes:
    """An OTLP request: every point as a gauge and as a counter."""
    data = MetricsData()
    group = data.resource_metrics.add()
    group.resource.attributes.add(key="vm.id").value.string_value = entity
    scope = group.scope_metrics.add()
    gauge = scope.metrics.add(name=GAUGE, unit="1").gauge
    counter = scope.metrics.add(name=COUNTER, unit="By").sum
    counter.is_monotonic = True
    counter.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    for point in points:
        _add(gauge, point, GAUGE)
        _add(counter, point, COUNTER)
    encoded: bytes = data.SerializeToString()
    return encoded


def _add(kind: Any, point: Point, metric: str) -> None:
    kind.data_points.add(time_unix_nano=point.ts * _MS, as_double=point.value(metric))


@dataclass
class Timeline:
    """When a sender's points are: first `lag_s` behind now, then `speed` seconds a second."""

    started: float  # unix seconds, as what `points` is given
    lag_s: float
    speed: float = 1.0
    _next: int = 0
    _last: int = 0

    def points(self, count: int, now: float) -> list[Point]:
        """The next `count` points, evenly up to where the timeline is at `now`."""
        at = (self.started - self.lag_s + (now - self.started) * self.speed) * 1000
        first = self._last or int(at) - count
        step = max(1, (int(at) - first) // count)
        made = [Point(self._next + n, first + step * (n + 1)) for n in range(count)]
        self._next, self._last = self._next + count, made[-1].ts
        return made
