"""What OTLP asks of a request with metrics, beyond what its messages can hold by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
)

_ADDS_UP = ("sum", "histogram", "exponential_histogram")
_TEMPORALITIES = (AGGREGATION_TEMPORALITY_CUMULATIVE, AGGREGATION_TEMPORALITY_DELTA)


def faults(request: ExportMetricsServiceRequest) -> list[str]:
    """One sentence for each; nothing of a request that is right."""
    return [
        *(f"{type(part).__name__} has fields that nobody knows" for part in _with_unknown(request)),
        *_twice("a resource", (_text(part.resource) for part in request.resource_metrics)),
        *(fault for part in request.resource_metrics for fault in _of_resource(part)),
    ]


def steps_back(requests: Iterable[ExportMetricsServiceRequest]) -> list[str]:
    """Counters that fall, or lose their start, from one request to a later one."""
    found, last = [], dict[tuple[str, ...], tuple[int, int, float]]()
    for resource, metric, point in (each for request in requests for each in _points(request)):
        if not metric.sum.is_monotonic:
            continue
        series = (_text(resource), metric.name, *_attributes(point))
        started, time, value = last.get(series, (0, 0, 0.0))
        now = (point.start_time_unix_nano, point.time_unix_nano, point.as_double or point.as_int)
        if now[1] <= time:
            found.append(f"{metric.name}: a point is not later than the one before")
        elif now[0] < started or (now[0] == started and now[2] < value):
            found.append(f"{metric.name}: {now[2]} since {now[0]}, after {value} since {started}")
        last[series] = now
    return found


def _points(request: ExportMetricsServiceRequest) -> Iterator[tuple[Any, Any, Any]]:
    for part in request.resource_metrics:
        for metric in (metric for scope in part.scope_metrics for metric in scope.metrics):
            for point in metric.sum.data_points:
                yield part.resource, metric, point


def _of_resource(part: Any) -> Iterator[str]:
    yield from _twice("a resource's attribute", (a.key for a in part.resource.attributes))
    yield from _twice("a scope", (_text(scope.scope) for scope in part.scope_metrics))
    for scope in part.scope_metrics:
        if not scope.scope.name:
            yield "a scope has no name"
        yield from _twice("a metric", (metric.name for metric in scope.metrics))
        for metric in scope.metrics:
            yield from (f"{metric.name or 'a metric'}: {fault}" for fault in _of_metric(metric))


def _of_metric(metric: Any) -> Iterator[str]:
    yield from (f"it has no {part}" for part in ("name", "unit") if not getattr(metric, part))
    kind = metric.WhichOneof("data")
    if kind is None or not getattr(metric, kind).data_points:
        yield "it has no data"
        return
    data = getattr(metric, kind)
    if kind in _ADDS_UP and data.aggregation_temporality not in _TEMPORALITIES:
        yield "its temporality is not said"
    identities = (f"{p.time_unix_nano} {sorted(_attributes(p))}" for p in data.data_points)
    yield from _twice("a point", identities)
    for point in data.data_points:
        yield from _of_point(point, kind)
    times = dict[tuple[str, ...], int]()
    for point in data.data_points:
        if point.time_unix_nano < times.get(_attributes(point), 0):
            yield "an older point comes after a newer one of its series"
        times[_attributes(point)] = point.time_unix_nano


def _of_point(point: Any, kind: str) -> Iterator[str]:
    yield from _twice("an attribute", (attribute.key for attribute in point.attributes))
    if any(not a.key or a.value.WhichOneof("value") is None for a in point.attributes):
        yield "an attribute has no key or no value"
    if not point.time_unix_nano:
        yield "a point has no time"
    if point.start_time_unix_nano > point.time_unix_nano:
        yield "a point is older than its start"
    if kind in ("gauge", "sum") and point.WhichOneof("value") is None:
        yield "a point has no value"


def _with_unknown(message: Message) -> Iterator[Message]:
    if len(UnknownFieldSet(message)):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from _with_unknown(part)


def _attributes(point: Any) -> tuple[str, ...]:
    return tuple(sorted(map(_text, point.attributes)))


def _text(message: Message) -> str:
    return bytes(message.SerializeToString(deterministic=True)).hex()


def _twice(what: str, identities: Iterable[str]) -> list[str]:
    return [f"{what} is there {n} times: {one}" for one, n in Counter(identities).items() if n > 1]
