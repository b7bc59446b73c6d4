"""What a sender is told: the answer table of OTLP, over HTTP and gRPC."""

from __future__ import annotations

import gzip
import time
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from collector_process import CollectorProcess
from fuzz import wire
from live_feed import wait_until
from novacron_agent.check.destination import check_destination
from novacron_agent.delivery.destination import Destination
from novacron_store.telemetry.samples import once
from store_process import StoreProcess

PROTOBUF = "application/x-protobuf"
EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


@pytest.fixture(scope="module")
def http(collector_process: CollectorProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=collector_process.http) as client:
        yield client


@pytest.fixture(scope="module")
def export(collector_process: CollectorProcess) -> Iterator[Any]:
    with grpc.insecure_channel(collector_process.grpc) as channel:
        yield channel.unary_unary(EXPORT)


def gauge(metric: str, *points: dict[str, Any]) -> bytes:
    data = MetricsData()
    target = data.resource_metrics.add().scope_metrics.add().metrics.add(name=metric)
    for point in points:
        target.gauge.data_points.add(**{"time_unix_nano": time.time_ns(), **point})
    return bytes(data.SerializeToString())


def _within(numbers: tuple[int, ...], body: bytes) -> bytes:
    for number in reversed(numbers):
        body = wire.field(number, wire.BYTES, body)
    return body


# A metric of two kinds is read point by point, so that it may have fewer of them.
ODD = _within((1, 2, 2), _within((5,), b"\x0a\0" * 100_001) + _within((7,), b"\x0a\0"))


def post(http: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.post("/v1/metrics", content=body, headers={"content-type": PROTOBUF, **named})


def test_bad_points_are_counted_and_their_neighbours_stored(
    http: httpx.Client, store_process: StoreProcess
) -> None:
    metric = f"m{uuid.uuid4()}"
    late = time.time_ns() - 8 * 86400 * 10**9
    early = time.time_ns() + 3600 * 10**9
    points: list[dict[str, Any]] = [
        {"as_double": 1.0},
        {"as_double": float("inf")},
        {"as_double": float("-inf")},
        {"as_double": 2.0, "time_unix_nano": 0},
        {"as_double": 2.0, "time_unix_nano": late},
        {"as_double": 2.0, "time_unix_nano": early},
        {},
        {"as_int": 3, "time_unix_nano": time.time_ns() - 10**9},
        {"flags": 1, "time_unix_nano": time.time_ns() - 2 * 10**9},
    ]

    answer = post(http, gauge(metric, *points))

    assert answer.status_code == 200
    told = ExportMetricsServiceResponse.FromString(answer.content).partial_success
    assert told.rejected_data_points == 6
    assert set(told.error_message.split("; ")) == {
        "2 points: infinite value",
        "1 points: no timestamp",
        "1 points: older than what is kept",
        "1 points: timestamp too far in the future",
        "1 points: no value",
    }
    store = store_process.service()
    sql = f"SELECT value FROM {once().all} WHERE metric = {{m:String}} ORDER BY ts"
    wait_until(lambda: store.query(sql, parameters={"m": metric}).row_count)
    stored = store.query(sql, parameters={"m": metric}).result_columns[0]
    store.close()
    assert str(list(stored)) == "[nan, 3.0, 1.0]", "the end of a series is stored, too"


@pytest.mark.parametrize(
    ("body", "headers", "code", "says"),
    [
        (b"junk", {}, 400, "not an OTLP metrics request"),
        (b"{", {"content_type": "application/json"}, 400, "not JSON"),
        (b"[]", {"content_type": "application/json"}, 400, "expected a JSON object"),
        (b"junk", {"content_encoding": "gzip"}, 400, "not gzip"),
        (gzip.compress(b"")[:-5], {"content_encoding": "gzip"}, 400, "ends too early"),
        (b"", {"content_encoding": "br"}, 415, "expected gzip or identity"),
        (b"", {"content_type": "text/plain"}, 415, "expected application/x-protobuf"),
        (b"\0" * (16 * 2**20 + 1), {}, 413, "send fewer points at a time"),
        (ODD, {}, 413, "too much in one request of this form: send fewer at a time"),
        (gzip.compress(b"\0" * (64 * 2**20 + 1)), {"content_encoding": "gzip"}, 413, "inflated"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_that_cannot_be_taken_is_answered_with_a_status(
    http: httpx.Client, body: bytes, headers: dict[str, str], code: int, says: str
) -> None:
    answer = post(http, body, **headers)

    assert answer.status_code == code
    if answer.headers["content-type"] == "application/json":
        message = answer.json()["message"]
    else:
        message = Status.FromString(answer.content).message
    assert says in message
    assert "retry-after" not in answer.headers


def test_a_body_without_a_length_is_cut_off_at_the_limit(http: httpx.Client) -> None:
    endless = (b"\0" * 65536 for _ in range(2**20))

    answer = http.post("/v1/metrics", content=endless, headers={"content-type": PROTOBUF})

    assert answer.status_code == 413


def test_gzip_of_several_members_is_one_body(http: httpx.Client) -> None:
    whole = gauge("members", {"as_int": 1})
    body = gzip.compress(whole[:10]) + gzip.compress(whole[10:])

    answer = post(http, body, content_encoding="gzip")

    assert (answer.status_code, answer.content) == (200, b"")


def test_an_empty_request_stores_nothing_and_is_fine(http: httpx.Client) -> None:
    assert (post(http, b"").status_code, post(http, b"").content) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "code", "says"),
    [
        ("GET", "/v1/metrics", 405, "POST"),
        ("POST", "/v1/traces", 404, "does not take traces"),
        ("POST", "/v1/logs", 404, "does not take logs"),
        ("POST", "/", 404, "/v1/metrics"),
    ],
)
def test_other_methods_and_paths_say_what_is_right(
    http: httpx.Client, method: str, path: str, code: int, says: str
) -> None:
    answer = http.request(method, path)

    assert answer.status_code == code
    assert says in Status.FromString(answer.content).message


def test_grpc_answers_as_http_does(export: Any) -> None:
    partly = export(gauge("g", {"as_double": float("inf")}, {"as_double": 1.0}))
    assert ExportMetricsServiceResponse.FromString(partly).partial_success.rejected_data_points == 1

    with pytest.raises(grpc.RpcError) as failed:
        export(b"\x0a\x05ab")
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "not an OTLP metrics request" in failed.value.details()

    with pytest.raises(grpc.RpcError) as failed:
        export(b"\0" * (64 * 2**20 + 1))
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    details = dict(failed.value.trailing_metadata())
    assert "grpc-status-details-bin" not in details  # without a time to retry: do not


def test_a_sender_that_stops_halfway_hurts_nobody(http: httpx.Client) -> None:
    def broken() -> Iterator[bytes]:
        yield b"\x0a"
        raise ConnectionError("the sender is gone")

    with pytest.raises(ConnectionError):
        http.post("/v1/metrics", content=broken(), headers={"content-type": PROTOBUF})

    assert post(http, gauge("after", {"as_int": 1})).status_code == 200


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_an_agents_check_is_answered(collector_process: CollectorProcess, kind: str) -> None:
    """An empty request is taken, and tells nothing to the store."""
    grpc_url = f"grpc://{collector_process.grpc}"
    url = collector_process.http if kind == "http" else grpc_url
    [answer, *clock] = check_destination(Destination(name="there", endpoint=url), "1")

    assert str(answer) == f"ok    destination there ({url}): takes metrics"
    assert [found.why for found in clock] == (["the same as here"] if kind == "http" else [])
