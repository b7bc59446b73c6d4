"""Readings -> OTLP requests, gzipped, through OpenTelemetry's own data model and encoder."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from novacron_agent.readings import Attributes, Reading, by_machine
from novacron_contract.metrics import AGENT_SERVICE_NAME, Kind, Metric

_REQUEST_BYTES = 1024**2  # before compression; a receiver may refuse more than a few MiB


@dataclass(frozen=True, slots=True)
class Request:
    """The body of one POST to /v1/metrics."""

    body: bytes
    points: int


def encode(readings: Iterable[Reading], version: str) -> list[Request]:
    """Every machine's readings under one resource, in as few requests as their size allows."""
    scope = InstrumentationScope(AGENT_SERVICE_NAME, version)
    requests: list[Request] = []
    size, points, parts = 0, 0, list[bytes]()
    for resource, group in by_machine(readings):
        # OTLP messages can be joined: each machine is encoded alone and is never split
        part = _encode_machine(resource, group, scope)
        if parts and size + len(part) > _REQUEST_BYTES:
            requests.append(_request(parts, points))
            size, points, parts = 0, 0, []
        parts.append(part)
        size += len(part)
        points += sum(len(reading.samples) for reading in group)
    return [*requests, _request(parts, points)] if points else requests


def _request(parts: list[bytes], points: int) -> Request:
    return Request(gzip.compress(b"".join(parts), compresslevel=5, mtime=0), points)


def _encode_machine(
    resource: dict[str, str | float], readings: list[Reading], scope: InstrumentationScope
) -> bytes:
    metrics = list(_metrics(readings))
    data = sdk.MetricsData(
        resource_metrics=[
            sdk.ResourceMetrics(
                resource=Resource(_clean(resource)),
                scope_metrics=[sdk.ScopeMetrics(scope=scope, metrics=metrics, schema_url="")],
                schema_url="",
            )
        ]
    )
    return bytes(encode_metrics(data).SerializeToString())


def _metrics(readings: list[Reading]) -> Iterator[sdk.Metric]:
    points: dict[Metric, list[sdk.NumberDataPoint]] = {}
    for reading in readings:
        for sample in reading.samples:
            is_gauge = sample.metric.kind is Kind.GAUGE
            point = sdk.NumberDataPoint(
                attributes=_clean(sample.attributes),
                start_time_unix_nano=0 if is_gauge else reading.start_ns,
                time_unix_nano=reading.time_ns,
                value=sample.value,
            )
            points.setdefault(sample.metric, []).append(point)
    for metric, found in points.items():
        yield sdk.Metric(metric.name, metric.description, metric.unit, _data(metric.kind, found))


def _data(kind: Kind, points: list[sdk.NumberDataPoint]) -> sdk.Gauge | sdk.Sum:
    if kind is Kind.GAUGE:
        return sdk.Gauge(points)
    return sdk.Sum(points, sdk.AggregationTemporality.CUMULATIVE, kind is Kind.COUNTER)


def _clean(attributes: Attributes) -> dict[str, str | int | float]:
    """Names that the kernel hands out may be any bytes; protobuf takes UTF-8 only."""
    return {
        name: _text(value) if isinstance(value, str) else value
        for name, value in attributes.items()
    }


def _text(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8")
