"""Delivery to a real HTTP peer that answers well, badly or not at all."""

from __future__ import annotations

import email.utils
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from novacron_agent.backlog import Backlog
from novacron_agent.counts import Counts
from novacron_agent.export import Exporter
from novacron_agent.otlp import Encoder, Request
from novacron_agent.post import client
from novacron_agent.readings import Reading
from otlp_receiver import Receiver, Response, otlp_receiver
from provider_contract import values


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as receiver:
        yield receiver


@contextmanager
def exporting(url: str, queue_bytes: int = 2**20) -> Iterator[tuple[Exporter, Counts]]:
    counts = Counts()
    with client(url, "1.2.3") as http:
        exporter = Exporter(http, Backlog(queue_bytes), counts, first_wait_s=0.02)
        exporter.start()
        yield exporter, counts
        exporter.close(grace_s=2)


def request(points: int = 1) -> Request:
    reading = Reading({"vm.id": "v1"}, 1)
    for number in range(points):
        reading.add("vm.disk.limit", number, {"system.device": f"vd{number}"})
    [encoded] = Encoder("1").encode([reading])
    return encoded


def counted(counts: Counts) -> dict[str, float]:
    reading = counts.reading({})
    dropped = values(reading, "novacron.agent.export.dropped")
    [taken] = values(reading, "novacron.agent.export.points").values()
    return {"taken": taken, **{str(reason): points for (reason,), points in dropped.items()}}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_request_arrives_gzipped_with_the_senders_clock(receiver: Receiver) -> None:
    with exporting(receiver.url) as (exporter, counts):
        exporter.offer(request(3))
        [received] = receiver.wait_for(1)

    assert received.path == "/v1/metrics"
    assert received.points == 3
    assert received.headers["Content-Type"] == "application/x-protobuf"
    assert received.headers["Content-Encoding"] == "gzip"
    assert received.headers["User-Agent"] == "novacron-agent/1.2.3"
    assert abs(int(received.headers["X-Novacron-Sent-At"]) / 1000 - time.time()) < 10
    assert counted(counts) == {"taken": 3, "queue_full": 0, "refused": 0, "shutdown": 0}


def test_a_path_in_the_endpoint_is_kept() -> None:
    with otlp_receiver() as receiver, exporting(f"{receiver.url}/otlp/") as (exporter, _counts):
        exporter.offer(request())
        assert receiver.wait_for(1)[0].path == "/otlp/v1/metrics"


@pytest.mark.parametrize("status", [401, 404, 408, 429, 500, 502, 503])
def test_what_may_become_better_is_tried_again(receiver: Receiver, status: int) -> None:
    receiver.will_answer(Response(status), Response(status))
    with exporting(receiver.url) as (exporter, counts):
        exporter.offer(request(2))
        received = receiver.wait_for(3)

    assert [r.status for r in received] == [status, status, 200]
    assert len({r.body for r in received}) == 1
    assert counted(counts) == {"taken": 2, "queue_full": 0, "refused": 0, "shutdown": 0}


@pytest.mark.parametrize("status", [400, 413])
def test_a_body_at_fault_is_given_up_counted_and_said_once(
    receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.will_answer(*[Response(status, b"no such \x00 field\nsecond line")] * 3)
    with exporting(receiver.url) as (exporter, counts):
        for _ in range(4):
            exporter.offer(request(5))
        received = receiver.wait_for(4)

    assert [r.status for r in received] == [status, status, status, 200]
    assert counted(counts) == {"taken": 5, "queue_full": 0, "refused": 15, "shutdown": 0}
    assert caplog.text.count("no such field second line") == 1


def test_the_words_of_an_otlp_status_are_told(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    status = bytes([0x08, 14, 0x12, 13]) + b"store is away" + bytes([0x1A, 3]) + b"\x0a\x01t"
    protobuf = {"Content-Type": "application/x-protobuf"}
    receiver.will_answer(Response(503, status, protobuf))
    with exporting(receiver.url) as (exporter, _counts):
        exporter.offer(request())
        receiver.wait_for(2)

    assert "HTTP 503 store is away; trying again" in caplog.text


def test_points_that_were_rejected_are_counted_and_the_reason_is_told(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = 2
    answer.partial_success.error_message = "timestamps too old"
    receiver.will_answer(Response(200, answer.SerializeToString()))
    with exporting(receiver.url) as (exporter, counts):
        exporter.offer(request(5))
        receiver.wait_for(1)
        wait_until(lambda: counted(counts)["refused"] == 2)

    assert counted(counts)["taken"] == 3
    assert "timestamps too old" in caplog.text


def test_an_answer_that_is_no_protobuf_is_an_answer(receiver: Receiver) -> None:
    receiver.will_answer(Response(200, b"{}\xff"))
    with exporting(receiver.url) as (exporter, counts):
        exporter.offer(request(5))
        wait_until(lambda: counted(counts)["taken"] == 5)


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_kept(receiver: Receiver, as_date: bool) -> None:
    started = time.time()
    # a date has whole seconds: two of them are at least one
    value = email.utils.formatdate(started + 2, usegmt=True) if as_date else "1"
    receiver.will_answer(Response(503, headers={"Retry-After": value}))
    with exporting(receiver.url) as (exporter, _counts):
        exporter.offer(request())
        receiver.wait_for(2)

    assert 0.9 <= time.time() - started < 5


def test_requests_arrive_in_order_after_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with exporting(f"http://127.0.0.1:{port}") as (exporter, _counts):
        for points in (1, 2, 3):
            exporter.offer(request(points))
        time.sleep(0.1)
        with otlp_receiver(port) as receiver:
            received = receiver.wait_for(3)

    assert [r.points for r in received] == [1, 2, 3]
    assert caplog.text.count("trying again") == 1
    assert "the collector answers again" in caplog.text


def test_a_full_queue_drops_the_oldest_and_counts_it(receiver: Receiver) -> None:
    receiver.will_answer(Response(503, headers={"Retry-After": "1"}))
    one = len(request(1).body)
    with exporting(receiver.url, queue_bytes=2 * one + one // 2) as (exporter, counts):
        exporter.offer(request(1))
        receiver.wait_for(1)  # now in hand
        for _ in range(5):
            exporter.offer(request(1))
        assert counted(counts)["queue_full"] == 3
        receiver.wait_for(4)

    assert counted(counts)["taken"] == 3


def test_what_waits_is_sent_before_the_end_and_the_rest_is_counted(receiver: Receiver) -> None:
    counts = Counts()
    with client(receiver.url, "1") as http:
        exporter = Exporter(http, Backlog(2**20), counts, first_wait_s=0.02)
        receiver.will_answer(Response(200), Response(503))
        exporter.offer(request(2))
        exporter.offer(request(3))
        exporter.start()
        exporter.close(grace_s=3)

    assert counted(counts) == {"taken": 2, "queue_full": 0, "refused": 0, "shutdown": 3}


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with exporting(receiver.url) as (exporter, _counts):
        exporter.offer(request())
        assert receiver.wait_for(1)
