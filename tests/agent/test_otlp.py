"""Readings as OTLP: what a receiver decodes."""

from __future__ import annotations

import gzip

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics, Sum

from novacron_agent.otlp import Request, encode
from novacron_agent.readings import Reading

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

    [request] = encode([reading], "1.2.3")
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

    [request] = encode([inside, guest, outside, agent], "1")
    host, vm, service = decode(request)

    attributes = {a.key: a.value.string_value for a in host.resource.attributes}
    assert attributes == {"host.id": "h1", "host.name": "kvm-1", "libvirt.version": "9.0.0"}
    assert len(host.scope_metrics[0].metrics) == 2
    assert len(vm.scope_metrics[0].metrics) == len(service.scope_metrics[0].metrics) == 1


def test_many_guests_are_sent_in_several_requests_and_none_is_split() -> None:
    readings = []
    for number in range(800):
        reading = Reading({"vm.id": f"vm-{number}"}, NOW)
        for device in range(40):
            reading.add("vm.disk.limit", device, {"system.device": f"vd{device}"})
        readings.append(reading)

    requests = encode(readings, "1")

    assert len(requests) > 1
    assert all(len(gzip.decompress(request.body)) <= 2**20 for request in requests)
    resources = [resource for request in requests for resource in decode(request)]
    assert len({r.resource.attributes[0].value.string_value for r in resources}) == 800
    assert sum(request.points for request in requests) == 800 * 40


def test_nothing_measured_is_nothing_sent() -> None:
    assert encode([], "1") == []
    assert encode([host_reading()], "1") == []


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

    [resource] = decode(encode([reading], "1")[0])

    point = resource.scope_metrics[0].metrics[0].sum.data_points[0]
    assert "eth?0" in {attribute.value.string_value for attribute in point.attributes}


def test_a_value_nobody_knows_is_absent() -> None:
    reading = host_reading()
    reading.add("system.cpu.physical.count", None)
    assert reading.samples == []
