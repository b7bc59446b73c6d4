"""What an agent had on disk when it was killed, what arrived of it, and what it says is lost."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Metric,
    NumberDataPoint,
)

_GAP = "novacron.agent.gap."
_EVERY_TICK = "system.uptime"
Key = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch in the spool: its bytes, and the time of its points."""

    body: bytes
    points: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Told:
    """Points that the agent says are lost, and between which times they were."""

    points: int
    first_ns: int
    last_ns: int


@dataclass(slots=True)
class Series:
    """(time, start, value), as it arrived."""

    is_counter: bool
    points: list[tuple[int, int, float]] = field(default_factory=list)


def spooled(spool: Path) -> list[Waiting]:
    """What a killed agent left. Of a copy: looking at SQLite's file may change it."""
    with tempfile.TemporaryDirectory() as place:
        for part in spool.parent.glob(f"{spool.name}*"):
            if not part.name.endswith("-shm"):
                shutil.copy(part, place)
        copy = Path(place) / spool.name
        if not copy.exists():
            return []
        with contextlib.closing(sqlite3.connect(copy)) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batches'").fetchall():
                return []  # killed before it had made its tables
            rows = db.execute("SELECT body, points, first_ns, last_ns FROM batches").fetchall()
    return [Waiting(*row) for row in rows]


class Arrived:
    """Of a receiver that takes the same bytes once."""

    def __init__(self, bodies: Iterable[bytes]) -> None:
        self.bodies = set(bodies)
        self.series: dict[Key, Series] = {}
        self.gaps: list[Told] = []
        for body in self.bodies:
            self._read(ExportMetricsServiceRequest.FromString(gzip.decompress(body)))

    def twice(self) -> list[Key]:
        """Series of which two points have one time."""
        return [
            key
            for key, found in self.series.items()
            if len({time for time, _, _ in found.points}) < len(found.points)
        ]

    def counters(self) -> list[Series]:
        return [found for found in self.series.values() if found.is_counter]

    def went_back(self) -> list[Key]:
        """Counters that fell, though they did not begin anew, or whose beginning went back."""
        return [
            key for key, found in self.series.items() if found.is_counter and _falls(found.points)
        ]

    def ticks(self) -> list[int]:
        """When the machine was measured, in nanoseconds, sorted."""
        [found] = [one for key, one in self.series.items() if key[1] == _EVERY_TICK.encode()]
        return sorted(time for time, _, _ in found.points)

    def _read(self, request: ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            of = _canonical(resource.resource.attributes)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name.startswith(_GAP):
                        continue
                    for point in _points(metric):
                        self._note(
                            (of, metric.name.encode(), _canonical(point.attributes)), metric, point
                        )
                self.gaps += _gaps(scope.metrics)

    def _note(self, key: Key, metric: Metric, point: NumberDataPoint) -> None:
        found = self.series.setdefault(key, Series(_is_counter(metric)))
        value = point.as_double if point.HasField("as_double") else point.as_int
        found.points.append((point.time_unix_nano, point.start_time_unix_nano, value))


def _gaps(metrics: Iterable[Metric]) -> list[Told]:
    lengths, points = list[NumberDataPoint](), list[NumberDataPoint]()
    for metric in metrics:
        if metric.name == f"{_GAP}duration":
            lengths += _points(metric)
        elif metric.name == f"{_GAP}points":
            points += _points(metric)
    return [
        Told(lost.as_int, long.time_unix_nano - round(long.as_double * 1e9), long.time_unix_nano)
        for long, lost in zip(lengths, points, strict=True)
    ]


def _points(metric: Metric) -> Iterator[NumberDataPoint]:
    kind = metric.WhichOneof("data")
    yield from (metric.sum if kind == "sum" else metric.gauge).data_points


def _is_counter(metric: Metric) -> bool:
    return (
        metric.WhichOneof("data") == "sum"
        and metric.sum.is_monotonic
        and metric.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    )


def _canonical(attributes: Iterable[KeyValue]) -> bytes:
    return b"".join(sorted(attribute.SerializeToString() for attribute in attributes))


def _falls(points: list[tuple[int, int, float]]) -> bool:
    return any(
        later[1] < before[1] or (later[1] == before[1] and later[2] < before[2])
        for before, later in itertools.pairwise(sorted(points))
    )
