"""The two ways a request goes to a collector, with one kind of answer."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import grpc
import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

_METHOD = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
_AGAIN_HTTP = frozenset({408, 429, 502, 503, 504})
_AGAIN_GRPC = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.ABORTED,
    }
)
_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class Verdict(StrEnum):
    STORED = "stored"
    BUSY = "told to come again"
    LOST = "no answer"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Answer:
    verdict: Verdict
    text: str = ""


class Transport(Protocol):
    async def send(self, body: bytes) -> Answer:
        """Send `body` once; an answer that does not come in time is LOST."""

    async def close(self) -> None: ...


@dataclass
class Http:
    """OTLP/HTTP to `address`, HOST:PORT, gzipped."""

    address: str
    timeout_s: float
    _client: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)

    async def send(self, body: bytes) -> Answer:
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        try:
            answer = await self._client.post(
                f"http://{self.address}/v1/metrics",
                content=gzip.compress(body, 1, mtime=0),
                headers=headers,
                timeout=self.timeout_s,
            )
        except httpx.TransportError as err:
            return Answer(Verdict.LOST, repr(err))
        if answer.status_code in _AGAIN_HTTP:
            return Answer(Verdict.BUSY, f"{answer.status_code}")
        if answer.status_code != 200:
            return Answer(Verdict.WRONG, f"{answer.status_code} {answer.text}")
        return _stored(answer.content)

    async def close(self) -> None:
        await self._client.aclose()


@dataclass
class Grpc:
    """OTLP/gRPC to `address`, HOST:PORT, gzipped; a new connection after each timeout."""

    address: str
    timeout_s: float
    _channel: Any = None

    async def send(self, body: bytes) -> Answer:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(
                self.address, options=_RECONNECT, compression=grpc.Compression.Gzip
            )
        try:
            answer = await self._channel.unary_unary(_METHOD)(body, timeout=self.timeout_s)
        except grpc.aio.AioRpcError as err:
            if err.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                await self.close()
            if err.code() in _AGAIN_GRPC:
                return Answer(Verdict.LOST, err.code().name)
            return Answer(Verdict.WRONG, f"{err.code().name} {err.details()}")
        return _stored(answer)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
            self._channel = None


def _stored(content: bytes) -> Answer:
    """Stored as a whole: points that were rejected were valid, so that answer is wrong."""
    rejected = ExportMetricsServiceResponse.FromString(content).partial_success
    if rejected.rejected_data_points:
        return Answer(Verdict.WRONG, f"rejected: {rejected.error_message}")
    return Answer(Verdict.STORED)
