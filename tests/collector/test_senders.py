"""What stock OpenTelemetry senders deliver is what SQL returns, for each of the five kinds."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from clickhouse_connect.driver.client import Client
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpExporter,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.export import MetricsData as SdkMetrics
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from collector_process import CollectorProcess
from store_process import StoreProcess

Row = dict[str, Any]


@pytest.fixture(scope="module")
def store(store_process: StoreProcess) -> Iterator[Client]:
    client = store_process.service()
    yield client
    client.close()


def grpc_exporter(collector: CollectorProcess) -> MetricExporter:
    return GrpcExporter(endpoint=collector.grpc, insecure=True)


def http_exporter(collector: CollectorProcess) -> MetricExporter:
    url = f"{collector.http}/v1/metrics"
    return HttpExporter(endpoint=url, compression=Compression.Gzip)


class Witness(MetricExporter):
    """Hands on to the stock exporter, and remembers what that was given."""

    def __init__(self, exporter: MetricExporter) -> None:
        super().__init__()
        self._exporter = exporter
        self.sent: list[SdkMetrics] = []
        self.results: list[MetricExportResult] = []

    def export(
        self, metrics_data: SdkMetrics, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        self.sent.append(metrics_data)
        self.results.append(self._exporter.export(metrics_data, timeout_millis, **kwargs))
        return self.results[-1]

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._exporter.shutdown(timeout_millis, **kwargs)


@contextmanager
def program(service: str, exporter: MetricExporter) -> Iterator[MeterProvider]:
    """An application that measures; what it measured is sent when it ends."""
    exponential = View(
        instrument_type=Histogram,
        instrument_name="job.size",
        aggregation=ExponentialBucketHistogramAggregation(),
    )
    provider = MeterProvider(
        [PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)],
        resource=Resource.create({"service.name": service, "service.instance.id": "1"}),
        views=[exponential],
    )
    yield provider
    provider.shutdown()


@pytest.mark.parametrize("exporter_of", [grpc_exporter, http_exporter])
def test_stock_sdk_delivers_four_kinds(
    collector_process: CollectorProcess,
    store: Client,
    exporter_of: Callable[[CollectorProcess], MetricExporter],
) -> None:
    service = f"shop-{uuid.uuid4()}"
    witness = Witness(exporter_of(collector_process))
    with program(service, witness) as provider:
        meter = provider.get_meter("shop")
        meter.create_gauge("room.temperature", "Cel").set(21.5, {"room": "a"})
        meter.create_counter("orders", "{order}").add(7, {"paid": True, "shop": "ü"})
        meter.create_up_down_counter("queue.length").add(-3)
        for value in (0.1, 3.0, 7000.0):
            meter.create_histogram("request.duration", "s").record(value, {"path": "/"})
        for value in (0.0, 1.5, 1.5, 900.0):
            meter.create_histogram("job.size", "By").record(value)

    assert witness.results == [MetricExportResult.SUCCESS]
    sent = points_of(witness.sent[0])
    entity = f"{service}/1"
    assert rows(store, "samples", entity) == [
        sample(sent["orders"], 7.0),
        sample(sent["queue.length"], -3.0),
        sample(sent["room.temperature"], 21.5),
    ]
    (histogram,) = rows(store, "histograms", entity)
    point = sent["request.duration"]
    assert (histogram["count"], histogram["sum"]) == (3, 7003.1)
    assert (histogram["min"], histogram["max"]) == (0.1, 7000.0)
    assert histogram["bounds"] == list(point.explicit_bounds)
    assert histogram["buckets"] == list(point.bucket_counts)
    assert histogram["start_ts"] == moment(point.start_time_unix_nano)
    (exponential,) = rows(store, "exponential_histograms", entity)
    point = sent["job.size"]
    assert (exponential["count"], exponential["scale"]) == (4, point.scale)
    assert exponential["zero_count"] == point.zero_count == 1
    assert exponential["positive_offset"] == point.positive.offset
    assert exponential["positive_buckets"] == list(point.positive.bucket_counts)
    series = store.query(
        "SELECT unit, monotonic, attributes, attribute_types FROM series "
        "WHERE metric = 'orders' AND entity = {entity:String}",
        parameters={"entity": entity},
    ).result_rows
    assert series == [("{order}", True, {"paid": "true", "shop": "ü"}, {"paid": "bool"})]


def test_json_by_curl_delivers_five_kinds(
    collector_process: CollectorProcess, store: Client
) -> None:
    entity, now = f"vm-{uuid.uuid4()}", time.time_ns()
    answer = curl(f"{collector_process.http}/v1/metrics", document(entity, now))

    assert answer == {}
    assert [(r["metric"], r["value"]) for r in rows(store, "samples", entity)] == [
        ("g", 1.25),
        ("s", 42.0),
    ]
    (histogram,) = rows(store, "histograms", entity)
    assert (histogram["count"], histogram["sum"], histogram["min"]) == (3, 6.5, None)
    assert (histogram["bounds"], histogram["buckets"]) == ([1.0, 5.0], [1, 1, 1])
    (exponential,) = rows(store, "exponential_histograms", entity)
    assert (exponential["scale"], exponential["positive_offset"]) == (2, -1)
    assert exponential["positive_buckets"] == [1, 2]
    assert (exponential["negative_offset"], exponential["negative_buckets"]) == (3, [4])
    (summary,) = rows(store, "summaries", entity)
    assert (summary["count"], summary["sum"]) == (9, 18.0)
    assert (summary["quantiles"], summary["values"]) == ([0.5, 0.99], [2.0, 3.5])
    (exemplar,) = rows(store, "exemplars", entity)
    assert (exemplar["trace_id"], exemplar["span_id"]) == (
        "5b8efff798038103d269b633813fc60c",
        "eee19b7ec3c1b174",
    )
    assert exemplar["value"] == 6.0


def test_summary_by_protobuf(collector_process: CollectorProcess, store: Client) -> None:
    entity, now = f"vm-{uuid.uuid4()}", time.time_ns()
    data = MetricsData()
    group = data.resource_metrics.add()
    vm = group.resource.attributes.add(key="vm.id")
    vm.value.string_value = entity
    point = group.scope_metrics.add().metrics.add(name="latency").summary.data_points.add()
    point.time_unix_nano, point.count, point.sum = now, 2, 5.0
    point.quantile_values.add(quantile=1.0, value=4.0)
    answer = httpx.post(
        f"{collector_process.http}/v1/metrics",
        content=data.SerializeToString(),
        headers={"Content-Type": "application/x-protobuf"},
    )

    assert answer.status_code == 200
    assert ExportMetricsServiceResponse.FromString(answer.content) == ExportMetricsServiceResponse()
    (summary,) = rows(store, "summaries", entity)
    assert (summary["ts"], summary["count"], summary["sum"]) == (moment(now), 2, 5.0)
    assert (summary["quantiles"], summary["values"]) == ([1.0], [4.0])


def points_of(data: SdkMetrics) -> dict[str, Any]:
    """The one point of each metric."""
    return {
        metric.name: metric.data.data_points[0]
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def rows(store: Client, view: str, entity: str) -> Sequence[Row]:
    """Acknowledged rows are in the store a moment later."""
    sql = f"SELECT * FROM {view} WHERE entity = {{entity:String}} ORDER BY metric"
    deadline = time.monotonic() + 20
    answer = store.query(sql, parameters={"entity": entity})
    while not answer.row_count and time.monotonic() < deadline:
        time.sleep(0.05)
        answer = store.query(sql, parameters={"entity": entity})
    named: list[Row] = [
        {k: v for k, v in row.items() if k not in ("entity", "series", "hour")}
        for row in answer.named_results()
    ]
    return [
        {**row, **{k: utc(v) for k, v in row.items() if isinstance(v, datetime)}} for row in named
    ]


def sample(point: Any, value: float) -> Row:
    names = {7.0: "orders", -3.0: "queue.length", 21.5: "room.temperature"}
    return {
        "metric": names[value],
        "ts": moment(point.time_unix_nano),
        "start_ts": moment(point.start_time_unix_nano or 0),
        "value": value,
    }


def moment(nanoseconds: int) -> datetime:
    """As stored: to the millisecond."""
    ms = nanoseconds // 1_000_000
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC)


def curl(url: str, body: dict[str, Any]) -> Any:
    command = ["curl", "--silent", "--fail-with-body", "-H", "Content-Type: application/json"]
    done = subprocess.run(
        [*command, "--data-binary", "@-", url],
        input=json.dumps(body),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def document(entity: str, now: int) -> dict[str, Any]:
    at = {"timeUnixNano": str(now), "startTimeUnixNano": str(now - 10**9)}
    trace = {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174"}
    exemplar = {"timeUnixNano": str(now), "asDouble": 6.0, **trace}
    histogram = {**at, "count": "3", "sum": 6.5, "explicitBounds": [1, 5]}
    histogram |= {"bucketCounts": ["1", "1", "1"], "exemplars": [exemplar]}
    exponential = {**at, "count": 7, "scale": 2, "zeroCount": "0"}
    exponential |= {"positive": {"offset": -1, "bucketCounts": ["1", "2"]}}
    exponential |= {"negative": {"offset": 3, "bucketCounts": [4]}}
    quantiles = [{"quantile": 0.5, "value": 2.0}, {"quantile": 0.99, "value": 3.5}]
    summary = {**at, "count": "9", "sum": 18, "quantileValues": quantiles}
    total = {"aggregationTemporality": 2, "isMonotonic": True}
    metrics = [
        {"name": "g", "gauge": {"dataPoints": [{**at, "asDouble": 1.25}]}},
        {"name": "s", "sum": {**total, "dataPoints": [{**at, "asInt": "42"}]}},
        {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [histogram]}},
        {
            "name": "e",
            "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [exponential]},
        },
        {"name": "q", "summary": {"dataPoints": [summary]}},
    ]
    resource = {"attributes": [{"key": "vm.id", "value": {"stringValue": entity}}]}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}
