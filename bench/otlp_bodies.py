"""The synthetic fleet as its agents send it: OTLP requests, one resource per VM."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Metric,
    MetricsData,
    NumberDataPoint,
)

from novacron_contract.metrics import BY_NAME, Kind
from synthetic import SERIES, Fleet


def bodies(fleet: Fleet, start: int, scrapes: int, vms_per_agent: int) -> Iterator[list[bytes]]:
    """The requests of each scrape: one per agent, all of them at the same time."""
    for batch in fleet.batches(start, [1] * scrapes):
        samples = batch.tables["samples"]
        values = samples["value"].to_numpy().reshape(fleet.vms, len(SERIES)).tolist()
        times = samples["ts"].cast("int64").to_numpy()[:: len(SERIES)].tolist()
        yield [
            _request(range(first, first + vms_per_agent), times, values, start * 10**9)
            for first in range(0, fleet.vms, vms_per_agent)
        ]


def identity(vm: int) -> dict[str, str]:
    """The resource of a machine."""
    return {"vm.id": f"vm-{vm:05d}", "vm.name": f"web-{vm:05d}", "vm.host.id": "kvm-0"}


def _request(vms: range, times: list[int], values: list[list[float]], start_ns: int) -> bytes:
    data = MetricsData()
    for vm in vms:
        group = data.resource_metrics.add()
        _set(group.resource.attributes, identity(vm))
        scoped = group.scope_metrics.add()
        scoped.scope.name = "novacron"
        rows = zip(SERIES, values[vm], strict=True)
        for name, points in groupby(rows, key=lambda row: row[0][0]):
            _fill(scoped.metrics.add(), name, points, (start_ns, times[vm] * 10**6))
    return bytes(data.SerializeToString())


def _fill(metric: Metric, name: str, points: Iterator[Any], times: tuple[int, int]) -> None:
    known = BY_NAME[name]
    metric.name, metric.unit, metric.description = name, known.unit, known.description
    data = metric.gauge
    if known.kind is not Kind.GAUGE:
        data = metric.sum
        data.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
        data.is_monotonic = known.kind is Kind.COUNTER
    for (_, labels), value in points:
        point: NumberDataPoint = data.data_points.add()
        point.start_time_unix_nano, point.time_unix_nano = times
        if value.is_integer():
            point.as_int = int(value)
        else:
            point.as_double = value
        _set(point.attributes, labels)


def _set(attributes: Any, pairs: dict[str, str]) -> None:
    for key, text in pairs.items():
        attributes.add(key=key, value=AnyValue(string_value=text))
