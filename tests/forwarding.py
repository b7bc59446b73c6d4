"""Forwarding as tests use it: a forwarder, requests to be told apart, and targets of every sort."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
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


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server; `handle` has each connection in a thread. The port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):  # of the end
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=run, args=(connection,), daemon=True).start()

        def run(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                handle(connection)

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)


def hang(connection: socket.socket) -> None:
    """Takes everything and answers nothing."""
    while connection.recv(65536):
        pass


@dataclass
class Proxy:
    url: str
    asked: list[str] = field(default_factory=list)  # the first line of each request


@contextmanager
def forward_proxy() -> Iterator[Proxy]:
    """A forward proxy: CONNECT, and requests with an absolute URI."""
    proxy = Proxy("")

    def handle(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (part := client.recv(65536)):
            head += part
        line, _, rest = head.partition(b"\r\n")
        method, target, version = line.decode().split()
        proxy.asked.append(line.decode())
        parts = urllib.parse.urlsplit(target if "://" in target else f"//{target}")
        assert parts.hostname is not None
        with socket.create_connection((parts.hostname, parts.port or 80)) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(f"{method} {parts.path} {version}\r\n".encode() + rest)
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()

    with serving(handle) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Certificates:
    """A private authority, and what it signed for 127.0.0.1; `other_ca` signed nothing."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def other_ca(self) -> Path:
        return self.folder / "other.pem"

    @property
    def cert(self) -> Path:
        return self.folder / "leaf.pem"

    @property
    def key(self) -> Path:
        return self.folder / "leaf.key"

    def server_context(self, ask_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        if ask_client:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def grpc_credentials(self, ask_client: bool = False) -> Any:
        pair = (self.key.read_bytes(), self.cert.read_bytes())
        return grpc.ssl_server_credentials([pair], self.ca.read_bytes(), ask_client)


def certificates(folder: Path) -> Certificates:
    """Made by OpenSSL's command line."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    for name in ("ca", "other"):
        subject = ("-subj", f"/CN=private {name}")
        openssl("req", "-x509", *key, *subject, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    openssl("req", *key[:-2], "-subj", "/CN=leaf", "-keyout", "leaf.key", "-out", "leaf.csr")
    (folder / "leaf.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(
        *("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2"),
        *("-CAcreateserial", "-extfile", "leaf.ext", "-out", "leaf.pem"),
    )
    return Certificates(folder)
