"""A real OTLP/HTTP receiver on a free port, which answers as a test tells it to."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)


@dataclass(frozen=True, slots=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int

    @property
    def message(self) -> ExportMetricsServiceRequest:
        message = ExportMetricsServiceRequest()
        zipped = self.headers.get("Content-Encoding") == "gzip"
        message.ParseFromString(gzip.decompress(self.body) if zipped else self.body)
        return message

    @property
    def points(self) -> int:
        return sum(
            len(getattr(metric, metric.WhichOneof("data")).data_points)
            for resource in self.message.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )


class Receiver:
    """Gives the scripted answers in turn, then what `otherwise` makes of the body."""

    def __init__(self, url: str, otherwise: Callable[[bytes], Response]) -> None:
        self.url = url
        self._otherwise = otherwise
        self.received: list[Received] = []
        self._answers: list[Response] = []
        self._news = threading.Condition()

    def will_answer(self, *answers: Response) -> None:
        self._answers += answers

    @property
    def accepted(self) -> list[Received]:
        return [one for one in self.received if one.status == 200]

    def wait_for(self, count: int, timeout: float = 30) -> list[Received]:
        """The requests so far, once there are `count`."""
        with self._news:
            arrived = self._news.wait_for(lambda: len(self.received) >= count, timeout)
            assert arrived, f"{len(self.received)} of {count} requests after {timeout} s"
            return list(self.received)

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        with self._news:
            answer = self._answers.pop(0) if self._answers else self._otherwise(body)
            self.received.append(Received(path, headers, body, answer.status))
            self._news.notify_all()
            return answer


@contextmanager
def otlp_receiver(
    port: int = 0,
    otherwise: Callable[[bytes], Response] = lambda _: Response(),
    tls: ssl.SSLContext | None = None,
) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the sender died in the middle
                self.close_connection = True
                return
            answer = receiver.take(self.path, dict(self.headers), body)
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if tls is None else "https"
        receiver = Receiver(f"{scheme}://127.0.0.1:{server.server_address[1]}", otherwise)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
