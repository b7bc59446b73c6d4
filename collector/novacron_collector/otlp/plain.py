"""OTLP by protobuf objects, one point after another: easy to believe, so the oracle of the fast
path, and the way for the odd message that the fast path does not understand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from novacron_collector.otlp.attributes import Attributes, read_attributes
from novacron_collector.otlp.catalog import Catalog, to_table
from novacron_collector.otlp.decoded import Decoded, Outcome, Sighting
from novacron_collector.otlp.identity import Entity, Stream, entity_of, series_id
from novacron_collector.otlp.limits import (
    PointLimits,
    Reason,
    Window,
    attributes_reason,
    stream_reason,
)
from novacron_collector.otlp.overflow import Overflow, TurnedAway
from novacron_collector.otlp.quota import SeriesQuota
from novacron_contract.errors import BadMessage
from novacron_store.telemetry.batch import Batch

EXACT = 2**53  # integers up to here are Float64 without loss
NO_RECORDED_VALUE = 1  # the flag of a point that says: the series ends here
TEMPORALITIES = {1: "delta", 2: "cumulative"}
TABLES = {
    "gauge": "samples",
    "sum": "samples",
    "histogram": "histograms",
    "exponential_histogram": "exponential_histograms",
    "summary": "summaries",
}


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the points at hand come from; `reason` rejects all of them."""

    entity: Entity
    resource: Attributes
    stream: Stream
    reason: Reason | None


class PlainDecoder:
    def __init__(
        self, limits: PointLimits, catalog: Catalog, quota: SeriesQuota, overflow: Overflow
    ) -> None:
        self._limits = limits
        self._catalog = catalog
        self._quota = quota
        self._overflow = overflow
        self._told: dict[int, Reason] = {}  # series of these requests that have no place

    def decode(
        self,
        bodies: Sequence[bytes],
        window: Window,
        now: int,
        proven: Sequence[bool] | None = None,
    ) -> Decoded:
        """Decode OTLP requests; `now` in unix milliseconds; `proven`: see Catalog.begin.

        Raises:
            BadMessage: a body is not OTLP.
        """
        rows: dict[str, list[tuple[Any, ...]]] = {}
        self._quota.advance(now)
        self._told.clear()
        self._catalog.begin(len(bodies), proven)
        outcomes = [
            self._decode_one(number, body, window, now, rows) for number, body in enumerate(bodies)
        ]
        descriptions, sightings = self._catalog.take()
        tables = {name: to_table(name, table) for name, table in rows.items() if table}
        return Decoded(Batch(tables | descriptions), outcomes, sightings)

    def _decode_one(
        self,
        request: int,
        body: bytes,
        window: Window,
        now: int,
        rows: dict[str, list[tuple[Any, ...]]],
    ) -> Outcome:
        rejected: Counter[Reason] = Counter()
        stored = rounded = 0
        for source, point in self._points(_parse(body)):
            attributes = read_attributes(point.attributes, self._limits.max_attributes)
            reason = source.reason or self._point_reason(source, point, attributes, window)
            if reason is not None:
                rejected[reason] += 1
                continue
            series = series_id(source.entity, source.stream, attributes)
            full = self._full(series, source)
            if full is not None:
                rejected[full] += 1
                self._overflow.count({TurnedAway(full, source.entity, source.stream.metric): 1})
                continue
            stored += 1
            rounded += _is_rounded(source.stream.kind, point)
            key = (source.stream.metric, source.entity.name, series)
            table = rows.setdefault(TABLES[source.stream.kind], [])
            table.append((*key, *_times(point), *_VALUES[source.stream.kind](point)))
            exemplars = getattr(point, "exemplars", ())
            found = (self._exemplar(exemplar, window) for exemplar in exemplars)
            rows.setdefault("exemplars", []).extend((*key, *row) for row in found if row)
            self._catalog.describe_series(series, source.entity, source.stream, attributes, now)
            seen = Sighting(request, source.entity, source.resource, _millis(point))
            self._catalog.see([seen])
        return Outcome(stored, rejected, rounded=rounded)

    def _points(self, data: Any) -> Iterator[tuple[_Source, Any]]:
        for group in data.resource_metrics:
            resource = read_attributes(group.resource.attributes, self._limits.max_attributes)
            entity = entity_of(resource)
            resource_reason = attributes_reason(resource, self._limits)
            for scoped in group.scope_metrics:
                for metric in scoped.metrics:
                    kind = metric.WhichOneof("data")
                    if kind is None:
                        continue
                    stream = _stream(metric, kind, scoped.scope, self._limits.max_attributes)
                    reason = stream_reason(stream, self._limits) or resource_reason
                    source = _Source(entity, resource, stream, reason)
                    yield from ((source, point) for point in getattr(metric, kind).data_points)

    def _full(self, series: int, source: _Source) -> Reason | None:
        """Why the series has no place: the same for all its points, whatever is full by then."""
        told = self._told.get(series)
        if told is None:
            told = self._quota.admit(series, source.entity, source.stream.metric)
            if told is not None:
                self._told[series] = told
        return told

    def _point_reason(
        self, source: _Source, point: Any, attributes: Attributes, window: Window
    ) -> Reason | None:
        reason = attributes_reason(attributes, self._limits) or window.reason(_millis(point))
        if reason is not None or _ended(point):
            return reason
        return _REASONS[source.stream.kind](point, self._limits.max_buckets)

    def _exemplar(self, exemplar: Any, window: Window) -> tuple[Any, ...] | None:
        return exemplar_row(exemplar, window, self._limits)


def exemplar_row(exemplar: Any, window: Window, limits: PointLimits) -> tuple[Any, ...] | None:
    """The columns (ts, value, ids, attributes), or None where it is not fit to be stored."""
    ts = exemplar.time_unix_nano // 1_000_000
    field = exemplar.WhichOneof("value")
    if field is None or window.reason(ts) or not math.isfinite(getattr(exemplar, field)):
        return None
    attributes = read_attributes(exemplar.filtered_attributes, limits.max_attributes)
    if attributes_reason(attributes, limits):
        return None
    ids = (exemplar.trace_id[:16].hex(), exemplar.span_id[:8].hex())
    return (ts, float(getattr(exemplar, field)), *ids, list(attributes.texts))


def _parse(body: bytes) -> Any:
    try:
        return MetricsData.FromString(body)
    except DecodeError as err:
        raise BadMessage(f"not an OTLP metrics request: {err}") from err


def _stream(metric: Any, kind: str, scope: Any, most: int) -> Stream:
    data = getattr(metric, kind)
    return Stream(
        metric=metric.name,
        unit=metric.unit,
        kind=kind,
        temporality=TEMPORALITIES.get(getattr(data, "aggregation_temporality", 0), "unspecified"),
        monotonic=getattr(data, "is_monotonic", False),
        description=metric.description,
        scope=scope.name,
        scope_attributes=read_attributes(scope.attributes, most),
    )


def _millis(point: Any) -> int:
    return int(point.time_unix_nano // 1_000_000)


def _times(point: Any) -> tuple[int, int]:
    """(ts, start_ts); a start that is later than the point itself is none."""
    ts, start = _millis(point), int(point.start_time_unix_nano // 1_000_000)
    return ts, start if start <= ts else 0


def _ended(point: Any) -> bool:
    return bool(point.flags & NO_RECORDED_VALUE)


def _optional(point: Any, field: str) -> float | None:
    return getattr(point, field) if point.HasField(field) else None


def _number(point: Any) -> tuple[float]:
    if _ended(point):
        return (math.nan,)
    return (float(getattr(point, point.WhichOneof("value"))),)


def _is_rounded(kind: str, point: Any) -> bool:
    return kind in ("gauge", "sum") and abs(point.as_int) > EXACT and not _ended(point)


def _moments(point: Any) -> tuple[Any, ...]:
    return (point.count, *(_optional(point, field) for field in ("sum", "min", "max")))


def _histogram(point: Any) -> tuple[Any, ...]:
    lists = (list(point.explicit_bounds), list(point.bucket_counts))
    return (*_moments(point), *lists, _ended(point))


def _exponential(point: Any) -> tuple[Any, ...]:
    zero = (point.scale, point.zero_count, point.zero_threshold)
    positive = (point.positive.offset, list(point.positive.bucket_counts))
    negative = (point.negative.offset, list(point.negative.bucket_counts))
    return (*_moments(point), *zero, *positive, *negative, _ended(point))


def _summary(point: Any) -> tuple[Any, ...]:
    quantiles = [at.quantile for at in point.quantile_values]
    values = [at.value for at in point.quantile_values]
    return point.count, point.sum, quantiles, values, _ended(point)


def _number_reason(point: Any, max_buckets: int) -> Reason | None:
    field = point.WhichOneof("value")
    if field is None:
        return Reason.NO_VALUE
    return Reason.INFINITE if math.isinf(getattr(point, field)) else None


def _histogram_reason(point: Any, max_buckets: int) -> Reason | None:
    if any(math.isinf(v) for v in (point.sum, point.min, point.max)):
        return Reason.INFINITE
    bounds, buckets = point.explicit_bounds, len(point.bucket_counts)
    fits = buckets == len(bounds) + 1 or buckets == len(bounds) == 0
    rising = all(low < high for low, high in pairwise(bounds))
    finite = all(math.isfinite(bound) for bound in bounds)
    return None if fits and rising and finite and buckets <= max_buckets else Reason.BAD_BUCKETS


def _exponential_reason(point: Any, max_buckets: int) -> Reason | None:
    if any(math.isinf(v) for v in (point.sum, point.min, point.max, point.zero_threshold)):
        return Reason.INFINITE
    buckets = (point.positive.bucket_counts, point.negative.bucket_counts)
    return Reason.BAD_BUCKETS if any(len(side) > max_buckets for side in buckets) else None


def _summary_reason(point: Any, max_buckets: int) -> Reason | None:
    values = [v for at in point.quantile_values for v in (at.quantile, at.value)]
    if any(math.isinf(v) for v in (point.sum, *values)):
        return Reason.INFINITE
    return Reason.BAD_BUCKETS if len(point.quantile_values) > max_buckets else None


_VALUES = {
    "gauge": _number,
    "sum": _number,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}
_REASONS = {
    "gauge": _number_reason,
    "sum": _number_reason,
    "histogram": _histogram_reason,
    "exponential_histogram": _exponential_reason,
    "summary": _summary_reason,
}
