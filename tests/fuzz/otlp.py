"""OTLP as it is really sent, by our agents and by OpenTelemetry's SDK, and the decoder for it."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from fuzz.target import Decode, Target
from novacron_agent.host.scraper import Host
from novacron_agent.identity import Machine
from novacron_agent.otlp import Encoder
from novacron_agent.providers.kvm import KvmProvider
from novacron_agent.readings import Reading
from novacron_collector.otlp.decoded import Decoded
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits

_SERIES = 20_000
_LONG = 6  # samples of one seed: smaller bodies are mutated and decoded more often


_LABELS: list[dict[str, Any]] = [{"code": 200, "ok": True}, {"code": 500, "tags": ("a", "b")}]


def seeds(now_s: float) -> list[bytes]:
    """Of every kind of point, in requests of a few hundred bytes."""
    return [*_of_agents(now_s), *_of_the_sdk(), *(_with_every_kind(f"s{n}", now_s) for n in (1, 2))]


def _of_agents(now_s: float) -> list[bytes]:
    machine = Machine("fuzz-host", "kvm-1", "amd64", "Debian GNU/Linux")
    guests = KvmProvider(uri="test:///default").scrape(machine).readings
    readings = [*Host(machine).scrape().readings, *guests]
    found = []
    for whole in readings:
        for at in range(0, len(whole.values), _LONG):
            some = slice(at, at + _LONG)
            time_ns = int(now_s * 1e9)
            part = Reading(
                whole.resource, time_ns, whole.start_ns, whole.series[some], whole.values[some]
            )
            found += [gzip.decompress(request.body) for request in Encoder("1.0").encode([part])]
    return found


def _of_the_sdk() -> list[bytes]:
    found = []
    for view in ((), (View(instrument_type=Histogram, aggregation=_exponential()),)):
        reader = InMemoryMetricReader()
        resource = Resource({"service.name": "shop", "service.instance.id": "1"})
        with_views = MeterProvider([reader], resource, views=view, shutdown_on_exit=False)
        meter = with_views.get_meter("fuzz", "2", attributes={"build": 7})
        for labels in _LABELS:
            meter.create_counter("requests", "{request}", "Requests").add(3, labels)
            meter.create_histogram("latency", "s").record(0.25, labels)
            meter.create_gauge("queue").set(1.5, labels)
        metrics = reader.get_metrics_data()
        assert metrics is not None
        found.append(bytes(encode_metrics(metrics).SerializeToString()))
        with_views.shutdown()
    return found


def _exponential() -> ExponentialBucketHistogramAggregation:
    return ExponentialBucketHistogramAggregation()


def honest(now_s: float) -> list[bytes]:
    return [_with_every_kind("honest-1", now_s), _with_every_kind("honest-2", now_s)]


def _with_every_kind(vm: str, now_s: float) -> bytes:
    data = otlp.MetricsData()
    group = data.resource_metrics.add()
    group.resource.attributes.add(key="vm.id").value.string_value = vm
    scoped = group.scope_metrics.add()
    at = {"time_unix_nano": int(now_s * 1e9), "start_time_unix_nano": int(now_s * 1e9) - 10**12}
    gauge = scoped.metrics.add(name="g", unit="By").gauge.data_points.add(as_double=1.5, **at)
    nested = gauge.attributes.add(key="nested").value.kvlist_value.values.add(key="k")
    nested.value.array_value.values.add().int_value = 7
    counter = scoped.metrics.add(name="c").sum
    counter.aggregation_temporality, counter.is_monotonic = 2, True
    for label in "ab":
        point = counter.data_points.add(as_int=2**40, **at)
        point.attributes.add(key="label").value.string_value = label
        point.exemplars.add(as_double=2, trace_id=b"t" * 16, time_unix_nano=at["time_unix_nano"])
    counter.data_points.add(flags=1, **at).attributes.add(key="ended").value.bool_value = True
    histogram = scoped.metrics.add(name="h").histogram.data_points.add(count=3, sum=4.5, **at)
    histogram.explicit_bounds.extend([1.0, 2.0])
    histogram.bucket_counts.extend([1, 1, 1])
    exponential = scoped.metrics.add(name="e").exponential_histogram.data_points.add(count=2, **at)
    exponential.positive.offset, exponential.scale = -3, 4
    exponential.positive.bucket_counts.extend([1, 1])
    summary = scoped.metrics.add(name="s").summary.data_points.add(count=2, sum=3, **at)
    summary.quantile_values.add(quantile=0.5, value=1.25)
    return bytes(data.SerializeToString())


def _start() -> Decode:
    decoder = Decoder(PointLimits(max_series_per_entity=2000), 7 * 86400, _SERIES)

    def decode(bodies: Sequence[bytes], now_s: float) -> Decoded:
        return decoder.decode(bodies, now_s)

    return decode


TARGET = Target(seeds, honest, otlp.MetricsData.DESCRIPTOR, _start)
