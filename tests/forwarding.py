"""Forwarding as tests use it: a forwarder, and requests to be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from noon import NOON
from novacron_collector.forward.forwarder import Forwarder
from novacron_collector.forward.parcel import Item
from novacron_collector.forward.settings import ForwardSettings
from novacron_contract.settings import parse
from otlp_receiver import Received


def destination(url: str, name: str = "there", **more: Any) -> ForwardSettings:
    table = {"name": name, "url": url, "timeout": "5s", **more}
    return parse(table, ForwardSettings, where="test")


@contextmanager
def forwarding(
    folder: Path, *destinations: ForwardSettings, drain_s: float = 5
) -> Iterator[Forwarder]:
    forwarder = Forwarder(destinations, folder, reserve=0, send_every=0.02, agent="test/1")
    forwarder.start()
    try:
        yield forwarder
    finally:
        forwarder.stop(drain_s)


def gauge(metric: str, points: int = 1, padding: int = 0) -> Item:
    """A request; its points' values are 0, 1, 2, …"""
    data = MetricsData()
    target = data.resource_metrics.add().scope_metrics.add().metrics.add(name=metric)
    for n in range(points):
        point = target.gauge.data_points.add(as_int=n, time_unix_nano=(NOON - 41_600) * 10**9)
        if padding:
            point.attributes.add(key="padding").value.string_value = "x" * padding
    return Item(bytes(data.SerializeToString()), points)


def values(received: list[Received]) -> list[tuple[str, int]]:
    """(metric, value) of every point that arrived."""
    return [
        (metric.name, point.as_int)
        for one in received
        for group in one.message.resource_metrics
        for scoped in group.scope_metrics
        for metric in scoped.metrics
        for point in metric.gauge.data_points
    ]
