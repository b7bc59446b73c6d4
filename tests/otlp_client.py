"""The OTLP client as tests use it: one request to one destination, and the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from certificates import Certificates
from noon import NOON
from novacron_contract.settings import parse, setting
from novacron_otlp.answer import Answer
from novacron_otlp.client import Client
from novacron_otlp.connection import open_transport
from novacron_otlp.settings import ClientSettings, otlp_url
from otlp_grpc_receiver import GrpcReceiver, otlp_grpc_receiver
from otlp_receiver import Receiver, otlp_receiver

CLIENT = Client(user_agent="test/1")


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings):
    url: str = setting(check=otlp_url)

    @property
    def target(self) -> str:
        return self.url


def settings(url: str, **more: Any) -> Settings:
    return parse({"name": "there", "url": url, "timeout": "5s", **more}, Settings, where="test")


def answer_to(body: bytes, there: Settings, client: Client = CLIENT) -> Answer:
    transport = open_transport(there, client)
    try:
        return transport.send(body)
    finally:
        transport.close()


def request(points: int = 1, padding: int = 0) -> bytes:
    data = MetricsData()
    gauge = data.resource_metrics.add().scope_metrics.add().metrics.add(name="cpu").gauge
    for n in range(points):
        point = gauge.data_points.add(as_int=n, time_unix_nano=(NOON - 41_600) * 10**9)
        point.attributes.add(key="padding").value.string_value = "x" * padding
    return bytes(data.SerializeToString())


@contextmanager
def receiver_of(
    scheme: str, tls: Certificates, *, ask_client: bool = False
) -> Iterator[tuple[str, Receiver | GrpcReceiver]]:
    """A receiver and its URL; one with TLS shows the certificate of `tls`."""
    secure = scheme.endswith("s")
    if scheme.startswith("grpc"):
        credentials = tls.grpc_credentials(ask_client) if secure else None
        with otlp_grpc_receiver(credentials=credentials) as grpc:
            yield f"{scheme}://{grpc.address}", grpc
    else:
        with otlp_receiver(tls=tls.server_context(ask_client) if secure else None) as http:
            yield http.url, http
