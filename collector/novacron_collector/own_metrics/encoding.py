"""Readings to an OTLP request.

The messages are built directly: the SDK would bring views, readers and a second place that counts,
where the figures are counted already, and the collector has the messages anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, MetricsData

from novacron_collector.own_metrics.histogram import Counted
from novacron_contract.collector_metrics import COLLECTOR_SERVICE_NAME
from novacron_contract.metrics import Kind, Metric

_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


@dataclass(frozen=True, slots=True)
class Reading:
    metric: Metric
    value: float | Counted
    attributes: Mapping[str, str] = field(default_factory=dict)


def encode(
    readings: Iterable[Reading], resource: Mapping[str, str], start_ns: int, now_ns: int
) -> bytes:
    """One request of all `readings`, which counted since `start_ns`."""
    data = MetricsData()
    group = data.resource_metrics.add()
    _set_attributes(group.resource.attributes, resource)
    scope = group.scope_metrics.add()
    scope.scope.name = COLLECTOR_SERVICE_NAME
    lists: dict[Metric, Any] = {}
    for reading in readings:
        metric = reading.metric
        if metric not in lists:
            lists[metric] = _points(scope.metrics.add(), metric)
        point = lists[metric].add(time_unix_nano=now_ns)
        if metric.kind is not Kind.GAUGE:
            point.start_time_unix_nano = start_ns
        _set_attributes(point.attributes, reading.attributes)
        _set_value(point, reading.value)
    return bytes(data.SerializeToString())


def _points(message: Any, metric: Metric) -> Any:
    """The list of the metric's points."""
    message.name, message.unit = metric.name, metric.unit
    message.description = metric.description
    if metric.kind is Kind.GAUGE:
        return message.gauge.data_points
    if metric.kind is Kind.HISTOGRAM:
        message.histogram.aggregation_temporality = _CUMULATIVE
        return message.histogram.data_points
    message.sum.aggregation_temporality = _CUMULATIVE
    message.sum.is_monotonic = metric.kind is Kind.COUNTER
    return message.sum.data_points


def _set_value(point: Any, value: float | Counted) -> None:
    if not isinstance(value, Counted):
        point.as_double = value
        return
    point.explicit_bounds.extend(value.bounds)
    point.bucket_counts.extend(value.buckets)
    point.count = value.count
    point.sum = value.sum


def _set_attributes(attributes: Any, values: Mapping[str, str]) -> None:
    for key, value in values.items():
        attributes.add(key=key).value.string_value = value
