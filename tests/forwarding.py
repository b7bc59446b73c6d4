"""Forwarding as tests use it: a forwarder, requests to be told apart, and targets of every sort."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from novacron_collector.forward.forwarder import Forwarder
from novacron_collector.forward.parcel import Item
from novacron_collector.forward.settings import ForwardSettings
from novacron_contract.settings import parse
from otlp_receiver import Received

SERVICE = "opentelemetry.proto.collector.metrics.v1.MetricsService"


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
        point = target.gauge.data_points.add(as_int=n, time_unix_nano=1_795_480_000 * 10**9)
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


@dataclass
class GrpcTarget:
    """Calls `script` in turn, each of which aborts or returns an answer; then takes everything."""

    address: str = ""
    received: list[Received] = field(default_factory=list)
    script: list[Callable[[Any], bytes]] = field(default_factory=list)

    def export(self, body: bytes, context: Any) -> bytes:
        headers = dict(context.invocation_metadata())
        if self.script:
            return self.script.pop(0)(context)
        self.received.append(Received("", headers, body, 200))
        return b""


@contextmanager
def grpc_target(
    credentials: Any = None, max_message: int = 4 * 2**20, port: int = 0
) -> Iterator[GrpcTarget]:
    options = [("grpc.max_receive_message_length", max_message), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(2), options=options)
    target = GrpcTarget()
    method = grpc.unary_unary_rpc_method_handler(target.export)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Export": method}),)
    )
    if credentials is None:
        taken = server.add_insecure_port(f"127.0.0.1:{port}")
    else:
        taken = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    target.address = f"127.0.0.1:{taken}"
    server.start()
    try:
        yield target
    finally:
        server.stop(0).wait()
