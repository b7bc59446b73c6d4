"""A real OTLP/gRPC receiver on a free port, which answers as a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from otlp_receiver import Received

SERVICE = "opentelemetry.proto.collector.metrics.v1.MetricsService"
Answer = Callable[[Any], bytes]


@dataclass
class GrpcReceiver:
    """Gives the scripted answers in turn, each of which aborts or returns; then takes all."""

    address: str = ""
    received: list[Received] = field(default_factory=list)  # also what was not taken
    _answers: list[Answer] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    @property
    def accepted(self) -> list[Received]:
        return [one for one in self.received if one.status == 200]

    def will_answer(self, *answers: Answer) -> None:
        self._answers += answers

    def wait_for(self, count: int, timeout: float = 10) -> list[Received]:
        with self._news:
            arrived = self._news.wait_for(lambda: len(self.received) >= count, timeout)
            assert arrived, f"{len(self.received)} of {count} requests after {timeout} s"
            return list(self.received)

    def take(self, body: bytes, context: Any) -> bytes:
        with self._news:
            answer = self._answers.pop(0) if self._answers else None
            headers = dict(context.invocation_metadata())
            self.received.append(Received("", headers, body, 500 if answer else 200))
            self._news.notify_all()
        return answer(context) if answer else b""


def refusing(code: str, text: str = "", retry_s: float | None = None) -> Answer:
    """With RetryInfo where `retry_s` is given."""

    def answer(context: Any) -> bytes:
        if retry_s is not None:
            status = Status(code=8, message=text)
            delay = Duration(nanos=int(retry_s % 1 * 1e9), seconds=int(retry_s))
            status.details.add().Pack(RetryInfo(retry_delay=delay))
            details = status.SerializeToString()
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(getattr(grpc.StatusCode, code), text)
        raise AssertionError

    return answer


@contextmanager
def otlp_grpc_receiver(
    port: int = 0, credentials: Any = None, max_message: int = 4 * 2**20
) -> Iterator[GrpcReceiver]:
    options = [("grpc.max_receive_message_length", max_message), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(2), options=options)
    receiver = GrpcReceiver()
    method = grpc.unary_unary_rpc_method_handler(receiver.take)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {"Export": method}),)
    )
    address = f"127.0.0.1:{port}"
    if credentials is None:
        taken = server.add_insecure_port(address)
    else:
        taken = server.add_secure_port(address, credentials)
    receiver.address = f"127.0.0.1:{taken}"
    server.start()
    try:
        yield receiver
    finally:
        server.stop(0).wait()
