"""Senders that are slow, idle, endless or many: they are cut off, and the others are served."""

from __future__ import annotations

import gzip
import json
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from collector_process import CollectorProcess, collector
from novacron_contract.settings import host_port
from store_process import StoreProcess

PROTOBUF = "application/x-protobuf"
EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
HEAD = b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
CONNECTIONS = 16
SETTINGS = f"""[limits]
connections = {CONNECTIONS}
idle = "1s"
receive_time = "1s"
request = "1MiB"
inflated = "4MiB"
in_flight = "8MiB"
"""


@pytest.fixture(scope="module")
def small(
    store_process: StoreProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CollectorProcess]:
    """A collector with so little room that a test can fill it."""
    with collector(store_process, tmp_path_factory.mktemp("small"), SETTINGS) as process:
        yield process


@pytest.fixture
def dial(small: CollectorProcess) -> Iterator[Callable[[], socket.socket]]:
    """Open a connection to the OTLP/HTTP port."""
    with ExitStack() as opened:
        address = host_port(small.http.removeprefix("http://"))
        yield lambda: opened.enter_context(socket.create_connection(address, timeout=20))


def gauge() -> bytes:
    data = MetricsData()
    metric = data.resource_metrics.add().scope_metrics.add().metrics.add(name="wire")
    metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_int=1)
    return bytes(data.SerializeToString())


def assert_served(small: CollectorProcess) -> None:
    headers = {"content-type": PROTOBUF}
    answer = httpx.post(f"{small.http}/v1/metrics", content=gauge(), headers=headers, timeout=20)
    assert (answer.status_code, answer.content) == (200, b"")


def counters(small: CollectorProcess) -> dict[str, float]:
    with urllib.request.urlopen(f"{small.api}/v1/status", timeout=20) as answer:
        found: dict[str, float] = json.load(answer)["counters"]
    return found


def read_to_the_end(sock: socket.socket) -> bytes:
    """What is answered until the other side closes."""
    parts = []
    try:
        while part := sock.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def send_until_cut_off(sock: socket.socket, piece: bytes, every_s: float, at_most: int) -> int:
    """How many bytes went before the other side closed."""
    sent = 0
    sock.settimeout(every_s or 5)
    while sent < at_most:
        try:
            sock.sendall(piece)
            sent += len(piece)
            if every_s and not sock.recv(1):
                return sent
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return sent
    return sent


def test_a_connection_that_sends_nothing_is_closed(
    small: CollectorProcess, dial: Callable[[], socket.socket]
) -> None:
    before = counters(small)["connections_expired"]
    began = time.monotonic()

    assert read_to_the_end(dial()) == b""

    assert 0.9 < time.monotonic() - began < 10
    assert counters(small)["connections_expired"] > before


def test_a_head_of_a_byte_a_moment_is_cut_off(dial: Callable[[], socket.socket]) -> None:
    sock = dial()
    sock.sendall(HEAD)

    assert send_until_cut_off(sock, b"x", every_s=0.2, at_most=100) < 20


def test_a_connection_is_kept_for_the_next_request_and_then_closed(
    small: CollectorProcess, dial: Callable[[], socket.socket]
) -> None:
    sock, body = dial(), gauge()
    request = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    for _ in range(2):
        sock.sendall(request)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")

    assert read_to_the_end(sock) == b""


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(HEAD + b"X-Endless: ", id="one header"),
        pytest.param(HEAD, id="many headers"),
        pytest.param(b"POST /", id="a path"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", id="a chunk extension"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", id="trailers"),
    ],
)
def test_what_goes_before_and_after_a_body_has_an_end(
    small: CollectorProcess, dial: Callable[[], socket.socket], endless: bytes
) -> None:
    sock = dial()
    sock.sendall(endless)
    piece = b"a: b\r\n" * 1000 if endless.endswith(b"\n") else b"x" * 6000

    assert send_until_cut_off(sock, piece, every_s=0, at_most=2**26) < 2**23

    assert_served(small)


def test_pipelined_requests_do_not_pile_up(
    small: CollectorProcess, dial: Callable[[], socket.socket]
) -> None:
    sock = dial()

    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert send_until_cut_off(sock, 1000 * request, every_s=0, at_most=2**26) < 2**23

    assert_served(small)


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_a_body_that_does_not_arrive_is_answered_and_cut_off(
    dial: Callable[[], socket.socket], framing: bytes
) -> None:
    sock = dial()
    sock.sendall(HEAD + framing + b"\r\n\r\n")

    answer = read_to_the_end(sock)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not arrive within 1 s" in answer


def test_an_endless_chunked_body_is_cut_off_at_the_limit(
    small: CollectorProcess, dial: Callable[[], socket.socket]
) -> None:
    sock = dial()
    sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")

    assert send_until_cut_off(sock, b"2000\r\n" + b"\0" * 0x2000 + b"\r\n", 0, 2**26) < 2**24

    assert_served(small)


def gzip_of(count: int) -> bytes:
    return gzip.compress(b"\0" * count)


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        pytest.param(gzip_of(2**30), 413, "when inflated", id="a gigabyte of zeros"),
        pytest.param(gzip_of(2**22 + 1), 413, "when inflated", id="one byte over"),
        pytest.param(gzip.compress(gzip_of(2**30)), 400, "not an OTLP", id="zip in zip"),
        pytest.param(gzip_of(2**20) * 500, 413, "when inflated", id="many full members"),
        pytest.param(gzip.compress(b"") * 50_000, 400, "gzip members", id="many empty members"),
        pytest.param(b"\x1f\x8b\x08" + b"\xff" * 5000, 400, "gzip", id="a gzip head alone"),
        pytest.param(gauge(), 400, "not gzip", id="not gzip at all"),
    ],
)
def test_a_gzip_bomb_is_refused_in_little_time(
    small: CollectorProcess, body: bytes, code: int, says: str
) -> None:
    began = time.monotonic()

    headers = {"content-type": PROTOBUF, "content-encoding": "gzip"}
    answer = httpx.post(f"{small.http}/v1/metrics", content=body, headers=headers, timeout=60)

    assert answer.status_code == code
    assert says in answer.text
    assert time.monotonic() - began < 10
    assert_served(small)


@pytest.mark.parametrize("encoding", ["gzip, gzip", "deflate", "zstd", "identity, gzip"])
def test_an_encoding_that_is_not_spoken_is_said(small: CollectorProcess, encoding: str) -> None:
    headers = {"content-type": PROTOBUF, "content-encoding": encoding}

    answer = httpx.post(f"{small.http}/v1/metrics", content=gzip_of(10), headers=headers)

    assert answer.status_code == 415


def test_gzip_that_says_it_is_plain_is_no_otlp(small: CollectorProcess) -> None:
    headers = {"content-type": PROTOBUF}

    answer = httpx.post(f"{small.http}/v1/metrics", content=gzip_of(9999), headers=headers)

    assert answer.status_code == 400


def test_more_connections_than_allowed_make_the_idlest_one_close(
    small: CollectorProcess, dial: Callable[[], socket.socket]
) -> None:
    before = counters(small)["connections_evicted"]
    idle = [dial() for _ in range(CONNECTIONS)]

    for _ in range(5):
        assert_served(small)

    now = counters(small)
    assert now["connections_evicted"] > before
    assert now["connections"] <= CONNECTIONS
    assert read_to_the_end(idle[0]) == b""


def test_connections_are_counted_rightly_when_they_end(
    small: CollectorProcess, dial: Callable[[], socket.socket]
) -> None:
    for sock in [dial() for _ in range(CONNECTIONS)]:
        sock.close()
    deadline = time.monotonic() + 10
    while counters(small)["connections"] and time.monotonic() < deadline:
        pass

    assert counters(small)["connections"] == 0


def test_a_grpc_connection_that_says_nothing_is_closed(small: CollectorProcess) -> None:
    with socket.create_connection(host_port(small.grpc), timeout=20) as sock:
        began = time.monotonic()
        read_to_the_end(sock)  # HTTP/2 settings, perhaps, and the end
        assert time.monotonic() - began < 15


def test_many_silent_grpc_connections_keep_nobody_out(small: CollectorProcess) -> None:
    with ExitStack() as opened:
        for _ in range(3 * CONNECTIONS):
            opened.enter_context(socket.create_connection(host_port(small.grpc), timeout=20))
        with grpc.insecure_channel(small.grpc) as channel:
            export: Any = channel.unary_unary(EXPORT)
            assert export(gauge(), timeout=20, wait_for_ready=True) == b""


def test_grpc_metadata_has_a_limit(small: CollectorProcess) -> None:
    with grpc.insecure_channel(small.grpc) as channel:
        export: Any = channel.unary_unary(EXPORT)
        with pytest.raises(grpc.RpcError) as refused:
            export(gauge(), metadata=[("x-long", "y" * 200_000)], timeout=20)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert export(gauge(), timeout=20) == b""
