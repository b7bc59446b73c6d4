"""Readings as OTLP: what a receiver decodes."""

from __future__ import annotations

import gzip

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics, Sum

from novacron_agent.otlp import Encoder, Request
from novacron_agent.readings import Reading, Sample
from novacron_contract.metrics import METRICS, Kind
from otlp_rules import faults

NOW, BOOT = 1_795_461_550_000_000_000, 1_795_000_000_000_000_000


def decode(request: Request) -> list[ResourceMetrics]:
    message = ExportMetricsServiceRequest()
    message.ParseFromString(gzip.decompress(request.body))
    return list(message.resource_metrics)


def host_reading(**resource: str) -> Reading:
    return Reading({"host.id": "h1", "host.name": "kvm-1", **resource}, NOW, BOOT)


def test_kinds_units_and_times_arrive_as_the_contract_says() -> None:
    reading = host_reading()
    reading.add("system.cpu.time", 1.5, {"cpu.mode": "user"})
    reading.add("system.memory.limit", 2**40)
    reading.add("system.uptime", 12.5)

    [request] = Encoder("1.2.3").encode([reading])
    [resource] = decode(request)
    [scope] = resource.scope_metrics
    cpu, memory, uptime = scope.metrics

    assert request.points == 3
    assert (scope.scope.name, scope.scope.version) == ("novacron-agent", "1.2.3")
    assert (cpu.name, cpu.unit, memory.unit) == ("system.cpu.time", "s", "By")
    assert cpu.sum.is_monotonic
    assert not memory.sum.is_monotonic
    cumulative = Sum.DESCRIPTOR.fields_by_name["aggregation_temporality"].enum_type.values_by_name[
        "AGGREGATION_TEMPORALITY_CUMULATIVE"
    ]
    assert cpu.sum.aggregation_temporality == cumulative.number
    [point] = cpu.sum.data_points
    assert (point.as_double, point.time_unix_nano, point.start_time_unix_nano) == (1.5, NOW, BOOT)
    assert memory.sum.data_points[0].as_int == 2**40
    assert uptime.gauge.data_points[0].as_double == 12.5
    assert uptime.gauge.data_points[0].start_time_unix_nano == 0


def test_two_sources_of_one_machine_share_its_resource() -> None:
    inside, outside = host_reading(), host_reading(**{"libvirt.version": "9.0.0"})
    inside.add("system.uptime", 1.0)
    outside.add("libvirt.host.memory.limit", 1)
    guest = Reading({"vm.id": "v1", "vm.name": "web", "host.id": "h1"}, NOW)
    guest.add("vm.cpu.count", 2)
    agent = Reading({"service.name": "a", "service.instance.id": "1", "host.id": "h1"}, NOW)
    agent.add("novacron.agent.export.points", 0)

    [request] = Encoder("1").encode([inside, guest, outside, agent])
    host, vm, service = decode(request)

    attributes = {a.key: a.value.string_value for a in host.resource.attributes}
    assert attributes == {"host.id": "h1", "host.name": "kvm-1", "libvirt.version": "9.0.0"}
    assert len(host.scope_metrics[0].metrics) == 2
    assert len(vm.scope_metrics[0].metrics) == len(service.scope_metrics[0].metrics) == 1


def test_a_late_reading_beside_a_new_one_is_one_metric_in_the_order_of_time() -> None:
    new, late, hot = host_reading(), host_reading(), host_reading()
    late.time_ns, hot.time_ns = NOW - 10**10, NOW - 5
    for reading, spent in ((new, 12.5), (late, 2.5)):
        reading.add("system.cpu.time", spent, {"cpu.mode": "user"})
        reading.add("system.memory.limit", 7)
    hot.add("hw.temperature", 40.0, {"hw.id": "disk", "hw.name": "sda", "hw.parent": "sda"})
    new.add("hw.temperature", 50.0, {"hw.id": "cpu", "hw.name": "core", "hw.parent": "cpu"})

    [request] = Encoder("1").encode([new, late, hot])

    message = ExportMetricsServiceRequest.FromString(gzip.decompress(request.body))
    assert faults(message) == []
    [resource] = message.resource_metrics
    assert [(m.name, m.unit) for m in resource.scope_metrics[0].metrics] == [
        ("system.cpu.time", "s"),
        ("system.memory.limit", "By"),
        ("hw.temperature", "Cel"),
    ]
    cpu, _memory, temperature = resource.scope_metrics[0].metrics
    points = [(p.start_time_unix_nano, p.time_unix_nano, p.as_double) for p in cpu.sum.data_points]
    assert points == [(BOOT, NOW - 10**10, 2.5), (BOOT, NOW, 12.5)]
    assert cpu.sum.is_monotonic
    assert [point.as_double for point in temperature.gauge.data_points] == [40.0, 50.0]
    assert (request.points, request.first_ns, request.last_ns) == (6, NOW - 10**10, NOW)


def test_many_guests_are_sent_in_several_requests_and_none_is_split() -> None:
    readings = []
    for number in range(800):
        reading = Reading({"vm.id": f"vm-{number}"}, NOW)
        for device in range(40):
            reading.add("vm.disk.limit", device, {"system.device": f"vd{device}"})
        readings.append(reading)

    requests = Encoder("1").encode(readings)

    assert len(requests) > 1
    assert all(len(gzip.decompress(request.body)) <= 2**20 for request in requests)
    resources = [resource for request in requests for resource in decode(request)]
    assert len({r.resource.attributes[0].value.string_value for r in resources}) == 800
    assert sum(request.points for request in requests) == 800 * 40


def test_nothing_measured_is_nothing_sent() -> None:
    assert Encoder("1").encode([]) == []
    assert Encoder("1").encode([host_reading()]) == []


def test_a_name_that_is_no_utf8_is_sent_with_question_marks() -> None:
    reading = host_reading()
    reading.add(
        "system.network.errors",
        0,
        {
            "network.interface.name": "eth\udcff0",
            "network.io.direction": "receive",
        },
    )

    [resource] = decode(Encoder("1").encode([reading])[0])

    point = resource.scope_metrics[0].metrics[0].sum.data_points[0]
    assert "eth?0" in {attribute.value.string_value for attribute in point.attributes}


def test_a_value_nobody_knows_is_absent() -> None:
    reading = host_reading()
    reading.add("system.cpu.physical.count", None)
    assert reading.samples == []


def test_a_reading_that_cannot_be_sent_costs_no_other() -> None:
    good, bad = host_reading(), Reading({"vm.id": "odd"}, NOW)
    good.add("system.uptime", 1.0)
    bad.add("vm.memory.limit", 2**70)

    [request] = Encoder("1").encode([bad, good])

    assert request.points == 1
    [resource] = decode(request)
    assert resource.scope_metrics[0].metrics[0].name == "system.uptime"


WHOLE = st.integers(-(2**63), 2**63 - 1)
VALUES = st.one_of(WHOLE, st.floats(allow_nan=False))
NUMERIC = [metric for metric in METRICS if metric.kind is not Kind.HISTOGRAM]


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    start = draw(st.sampled_from([0, BOOT]))
    reading = Reading({"host.id": "h"}, draw(st.integers(1, 2**63)), start)
    for metric in draw(st.lists(st.sampled_from(NUMERIC), max_size=8)):
        of = {name: draw(st.one_of(st.text(max_size=200), WHOLE)) for name in metric.attributes}
        reading.add(metric.name, draw(VALUES), of)
    return reading


@given(
    st.lists(readings(), min_size=1, max_size=3),
    st.lists(st.integers(-(2**50), 2**50), min_size=8, max_size=8),
)
def test_what_is_filled_in_is_what_protobuf_writes(ticks: list[Reading], later: list[int]) -> None:
    encoder = Encoder("1")
    for reading in [*ticks, *ticks]:  # the second time with other values of the same types
        reading.values = [type(v)(n) for v, n in zip(reading.values, later, strict=False)]
        if not reading.values:
            continue
        [request] = encoder.encode([reading])
        raw = gzip.decompress(request.body)
        message = ExportMetricsServiceRequest.FromString(raw)
        assert message.SerializeToString(deterministic=True) == raw
        [resource] = message.resource_metrics
        assert sorted(told(resource), key=repr) == sorted(map(as_told, reading.samples), key=repr)
        assert (request.first_ns, request.last_ns) == (reading.time_ns, reading.time_ns)
        assert {t for t, *_ in starts_and_times(resource)} <= {0, reading.start_ns}
        assert {t for _, t in starts_and_times(resource)} == {reading.time_ns}


@given(st.lists(readings(), min_size=2, max_size=4))
def test_a_machine_has_each_metric_once_whatever_goes_together(parts: list[Reading]) -> None:
    samples = [sample for reading in parts for sample in reading.samples]
    if not samples:
        return
    [request] = Encoder("1").encode(parts)

    raw = gzip.decompress(request.body)
    message = ExportMetricsServiceRequest.FromString(raw)
    assert message.SerializeToString(deterministic=True) == raw
    [resource] = message.resource_metrics
    names = [metric.name for metric in resource.scope_metrics[0].metrics]
    assert sorted(names) == sorted({sample.metric.name for sample in samples})
    assert sorted(told(resource), key=repr) == sorted(map(as_told, samples), key=repr)
    assert sorted(time for _start, time in starts_and_times(resource)) == sorted(
        reading.time_ns for reading in parts for _ in reading.samples
    )


def as_told(sample: Sample) -> tuple[object, ...]:
    metric = sample.metric
    return metric.name, metric.unit, str(metric.kind), dict(sample.attributes), sample.value


def told(resource: ResourceMetrics) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for metric in resource.scope_metrics[0].metrics:
        data = metric.gauge if metric.HasField("gauge") else metric.sum
        adds_up = "counter" if metric.sum.is_monotonic else "updowncounter"
        kind = "gauge" if metric.HasField("gauge") else adds_up
        for point in data.data_points:
            of = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in point.attributes}
            value = getattr(point, point.WhichOneof("value"))
            found.append((metric.name, metric.unit, kind, of, value))
    return found


def starts_and_times(resource: ResourceMetrics) -> list[tuple[int, int]]:
    return [
        (point.start_time_unix_nano, point.time_unix_nano)
        for metric in resource.scope_metrics[0].metrics
        for point in (*metric.gauge.data_points, *metric.sum.data_points)
    ]
