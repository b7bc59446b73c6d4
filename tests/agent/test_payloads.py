"""What the program sends, as any OTLP receiver takes it: every request is right by OTLP's rules."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

from novacron_contract.metrics import BY_NAME, Kind
from otlp_grpc_receiver import otlp_grpc_receiver
from otlp_receiver import Received, otlp_receiver
from otlp_rules import faults, steps_back

_TICKS = 4


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Received]]:
    """By HTTP and by gRPC, of this host and of libvirt's own hypervisor for tests, the oldest
    first: the newest may be sent before what waits."""
    place = tmp_path_factory.mktemp("agent")
    with otlp_receiver() as http, otlp_grpc_receiver() as grpc:
        config = place / "agent.toml"
        config.write_text(
            f"""[agent]
            id_file = "{place}/agent-id"
            interval = "1s"
            [provider]
            name = "kvm"
            uri = "test:///default"
            [[destinations]]
            name = "http"
            endpoint = "{http.url}"
            [[destinations]]
            name = "grpc"
            endpoint = "grpc://{grpc.address}"
            """
        )
        agent = [sys.executable, "-m", "novacron_agent", "--config", str(config)]
        with subprocess.Popen(agent) as running:
            try:
                http.wait_for(_TICKS, timeout=30)
                grpc.wait_for(_TICKS, timeout=30)
                running.send_signal(signal.SIGTERM)
                assert running.wait(10) == 0
            finally:
                running.kill()  # if it has not ended as it should
        return {
            "http": sorted(http.received, key=newest_ns),
            "grpc": sorted(grpc.received, key=newest_ns),
        }


def newest_ns(received: Received) -> int:
    return max(
        int(point.time_unix_nano)
        for part in received.message.resource_metrics
        for scope in part.scope_metrics
        for metric in scope.metrics
        for point in getattr(metric, metric.WhichOneof("data")).data_points
    )


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_every_request_is_right_by_otlps_rules(sent: dict[str, list[Received]], way: str) -> None:
    requests = [received.message for received in sent[way]]

    assert len(requests) >= _TICKS
    assert [faults(request) for request in requests] == [[]] * len(requests)
    assert steps_back(requests) == []


def test_both_ways_carry_the_same(sent: dict[str, list[Received]]) -> None:
    first = {way: received[0].message for way, received in sent.items()}

    assert first["http"] == first["grpc"]


def test_names_units_and_kinds_are_those_of_the_contract(sent: dict[str, list[Received]]) -> None:
    told = {
        (metric.name, metric.unit, metric.description, kind(metric))
        for received in sent["http"]
        for part in received.message.resource_metrics
        for scope in part.scope_metrics
        for metric in scope.metrics
    }

    known = {m.name: (m.name, m.unit, m.description, m.kind) for m in BY_NAME.values()}
    assert {name for name, *_ in told} >= {"system.cpu.time", "vm.cpu.time", "process.cpu.time"}
    assert told == {known[name] for name, *_ in told}


def kind(metric: Any) -> Kind:
    """Of a metric that is cumulative, if it adds up."""
    if metric.HasField("gauge"):
        return Kind.GAUGE
    assert metric.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    return Kind.COUNTER if metric.sum.is_monotonic else Kind.UPDOWN


def scope(request: ExportMetricsServiceRequest) -> Any:
    return request.resource_metrics[0].scope_metrics[0]


def point(request: ExportMetricsServiceRequest) -> Any:
    """Of CPU time by mode, which counts since the machine's start."""
    [metric] = [m for m in scope(request).metrics if m.name == "system.cpu.time"]
    return metric.sum.data_points[0]


def metric_twice(request: ExportMetricsServiceRequest) -> None:
    scope(request).metrics.append(scope(request).metrics[0])


def older_than_its_start(request: ExportMetricsServiceRequest) -> None:
    point(request).start_time_unix_nano = point(request).time_unix_nano + 1


def attribute_twice(request: ExportMetricsServiceRequest) -> None:
    point(request).attributes.append(point(request).attributes[0])


def no_unit(request: ExportMetricsServiceRequest) -> None:
    scope(request).metrics[0].unit = ""


def no_data(request: ExportMetricsServiceRequest) -> None:
    scope(request).metrics[0].ClearField("sum")


def no_temporality(request: ExportMetricsServiceRequest) -> None:
    [metric] = [m for m in scope(request).metrics if m.name == "system.cpu.time"]
    metric.sum.aggregation_temporality = 0


def unknown_field(request: ExportMetricsServiceRequest) -> None:
    point(request).MergeFromString(b"\xa0\x06\x01")


def older_after_newer(request: ExportMetricsServiceRequest) -> None:
    [metric] = [m for m in scope(request).metrics if m.name == "system.cpu.time"]
    metric.sum.data_points.append(point(request))
    metric.sum.data_points[-1].time_unix_nano -= 1


@pytest.mark.parametrize(
    "spoil",
    [
        metric_twice, older_than_its_start, attribute_twice, no_unit, no_data, no_temporality,
        unknown_field, older_after_newer,
    ],
)  # fmt: skip
def test_the_rules_see_one_fault(
    sent: dict[str, list[Received]], spoil: Callable[[ExportMetricsServiceRequest], None]
) -> None:
    request = sent["http"][0].message
    spoil(request)

    assert len(faults(request)) == 1


def test_the_rules_see_a_counter_that_falls(sent: dict[str, list[Received]]) -> None:
    first, second = (received.message for received in sent["http"][:2])
    point(second).as_double = point(first).as_double - 1

    assert len(steps_back([first, second])) == 1
