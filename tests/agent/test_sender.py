"""Delivery to a real HTTP peer that answers well, badly or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from delivering import dead_letters, delivering, destination, figures, wait_until
from free_ports import free_port
from otlp_receiver import Received, Receiver, Response, otlp_receiver
from sealed_requests import START_NS, TICK_NS, request


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as receiver:
        yield receiver


def ticks(received: list[Received]) -> list[int]:
    """The numbers of the ticks that were taken, in the order of their arrival."""
    numbers = []
    for one in received:
        if one.status == 200:
            metric = one.message.resource_metrics[0].scope_metrics[0].metrics[0]
            if metric.name == "vm.disk.limit":
                time_ns = metric.sum.data_points[0].time_unix_nano
                numbers.append((time_ns - START_NS) // TICK_NS)
    return numbers


def test_a_request_arrives_gzipped_with_the_senders_clock(
    tmp_path: Path, receiver: Receiver
) -> None:
    with delivering(tmp_path, destination(receiver.url)) as delivery:
        delivery.offer(request(points=3))
        [received] = receiver.wait_for(1)
        wait_until(lambda: figures(delivery) == {"export.points": 3})

    assert received.path == "/v1/metrics"
    assert received.points == 3
    assert received.body == request(points=3).body, "as it was sealed"
    assert received.headers["Content-Type"] == "application/x-protobuf"
    assert received.headers["Content-Encoding"] == "gzip"
    assert received.headers["User-Agent"] == "novacron-agent/1.2.3"
    assert abs(int(received.headers["X-Novacron-Sent-At"]) / 1000 - time.time()) < 10


def test_without_compression_it_arrives_plain(tmp_path: Path, receiver: Receiver) -> None:
    with delivering(tmp_path, destination(receiver.url, compression="none")) as delivery:
        delivery.offer(request(points=3))
        [received] = receiver.wait_for(1)

    assert received.points == 3
    assert "Content-Encoding" not in received.headers


@pytest.mark.parametrize(
    ("behind", "path"),
    [("", "/v1/metrics"), ("/otlp/", "/otlp/v1/metrics"), ("/x/v1/metrics", "/x/v1/metrics")],
)
def test_a_path_in_the_endpoint_is_kept(
    tmp_path: Path, receiver: Receiver, behind: str, path: str
) -> None:
    with delivering(tmp_path, destination(receiver.url + behind)) as delivery:
        delivery.offer(request())
        assert receiver.wait_for(1)[0].path == path


@pytest.mark.parametrize("status", [301, 401, 500, 503])
def test_what_may_become_better_is_tried_again(
    tmp_path: Path, receiver: Receiver, status: int
) -> None:
    receiver.will_answer(Response(status), Response(status))
    with delivering(tmp_path, destination(receiver.url)) as delivery:
        delivery.offer(request(points=2))
        received = receiver.wait_for(3)
        wait_until(lambda: figures(delivery) == {"export.points": 2, "export.errors": 2})

    assert [r.status for r in received] == [status, status, 200]
    assert len({r.body for r in received}) == 1


@pytest.mark.parametrize("status", [400, 415, 422])
def test_a_body_at_fault_is_a_dead_letter_counted_and_said_once(
    tmp_path: Path, receiver: Receiver, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.will_answer(*[Response(status, b"no such \x00 field\nsecond line")] * 3)
    with delivering(tmp_path, destination(receiver.url)) as delivery:
        for number in range(3):
            delivery.offer(request(number, points=5))
        receiver.wait_for(3)
        delivery.offer(request(4, points=2))
        wait_until(lambda: figures(delivery).get("export.points", 0) >= 2)
        assert figures(delivery)["export.dropped refused"] == 15
        assert figures(delivery)["export.dead_letters"] == 3

    assert dead_letters(tmp_path) == [(f"HTTP {status} no such field second line", 5)] * 3
    assert caplog.text.count("no such field second line") == 1


def test_what_is_too_large_goes_in_halves_down_to_a_point(tmp_path: Path) -> None:
    def at_most_three(body: bytes) -> Response:
        points = Received("", {"Content-Encoding": "gzip"}, body, 0).points
        return Response(413 if points > 3 else 200)

    with (
        otlp_receiver(otherwise=at_most_three) as receiver,
        delivering(tmp_path, destination(receiver.url)) as delivery,
    ):
        delivery.offer(request(points=20))
        wait_until(lambda: figures(delivery) == {"export.points": 20})
        values = sorted(
            point.as_int
            for one in receiver.accepted
            for point in one.message.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points
        )

    assert values == list(range(20))


def test_a_point_that_is_too_large_alone_is_a_dead_letter(tmp_path: Path) -> None:
    with (
        otlp_receiver(otherwise=lambda _body: Response(413)) as receiver,
        delivering(tmp_path, destination(receiver.url)) as delivery,
    ):
        delivery.offer(request(points=3))
        wait_until(lambda: figures(delivery).get("export.dead_letters") == 3)
        assert figures(delivery)["export.dropped refused"] == 3

    assert dead_letters(tmp_path) == [("HTTP 413", 1)] * 3


def test_a_batch_that_makes_the_receiver_fail_does_not_hold_up_the_others(tmp_path: Path) -> None:
    poison = request(0).body

    with (
        otlp_receiver(otherwise=lambda b: Response(500 if b == poison else 200)) as receiver,
        delivering(tmp_path, destination(receiver.url)) as delivery,
    ):
        for number in range(40):
            delivery.offer(request(number))
        wait_until(lambda: figures(delivery).get("export.dead_letters") == 1)
        wait_until(lambda: len(set(ticks(receiver.accepted))) == 39)

    assert dead_letters(tmp_path) == [("HTTP 500", 1)]


def test_while_the_receiver_fails_over_everything_nothing_is_given_up(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.will_answer(*[Response(500)] * 8)
    with delivering(tmp_path, destination(receiver.url)) as delivery:
        delivery.offer(request(0))
        receiver.wait_for(6, timeout=20)
        wait_until(lambda: figures(delivery).get("export.points") == 1, 60)
        assert "export.dead_letters" not in figures(delivery)


def test_points_that_were_rejected_are_counted_and_the_reason_is_told(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = 2
    answer.partial_success.error_message = "timestamps too old"
    receiver.will_answer(Response(200, answer.SerializeToString()))
    with delivering(tmp_path, destination(receiver.url)) as delivery:
        delivery.offer(request(points=5))
        wait_until(lambda: figures(delivery) == {"export.points": 3, "export.dropped rejected": 2})

    assert "timestamps too old" in caplog.text


def test_retry_after_is_kept(tmp_path: Path, receiver: Receiver) -> None:
    started = time.time()
    receiver.will_answer(Response(503, headers={"Retry-After": "1"}))
    with delivering(tmp_path, destination(receiver.url)) as delivery:
        delivery.offer(request())
        receiver.wait_for(2)

    assert 0.9 <= time.time() - started < 5


def test_the_newest_comes_first_after_an_outage_and_the_rest_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    port = free_port()
    with delivering(tmp_path, destination(f"http://127.0.0.1:{port}")) as delivery:
        for number in range(12):
            delivery.offer(request(number))
        wait_until(lambda: figures(delivery).get("export.errors", 0) >= 2)
        with otlp_receiver(port) as receiver:
            received = receiver.wait_for(12)

    assert ticks(received) == [11, 0, 1, 2, 3, 10, 4, 5, 6, 7, 9, 8]
    assert caplog.text.count("trying again") == 1
    assert "it answers again" in caplog.text


def test_what_waited_at_the_end_is_sent_after_the_next_start(
    tmp_path: Path, receiver: Receiver
) -> None:
    with delivering(tmp_path, destination("http://127.0.0.1:9")) as delivery:
        delivery.offer(request(1, points=3))
    with delivering(tmp_path, destination(receiver.url)) as delivery:
        [received] = receiver.wait_for(1)

    assert received.body == request(1, points=3).body


def test_each_destination_gets_everything_and_waits_for_no_other(
    tmp_path: Path, receiver: Receiver
) -> None:
    here, away = destination(receiver.url), destination("http://127.0.0.1:9", "away")
    with delivering(tmp_path, here, away) as delivery:
        for number in range(5):
            delivery.offer(request(number))
        wait_until(lambda: figures(delivery) == {"export.points": 5})
        wait_until(lambda: figures(delivery, "away").get("spool.batch.count") == 5)
        wait_until(lambda: figures(delivery, "away").get("spool.size", 0) > 5 * 4096)


def test_a_spool_of_no_destination_is_named(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with delivering(tmp_path, destination(receiver.url, "old")) as delivery:
        delivery.offer(request())
        receiver.wait_for(1)
    with delivering(tmp_path, destination(receiver.url, "new")):
        pass

    assert "old.sqlite: of a destination that is not in the settings" in caplog.text


def test_a_gap_is_told_once_with_its_times(tmp_path: Path) -> None:
    port = free_port()
    there = destination(f"http://127.0.0.1:{port}", spool_size="4MiB")
    with delivering(tmp_path, there) as delivery:
        for number in range(30):
            delivery.offer(request(number, padding=500_000))
        wait_until(lambda: "spool.dropped size" in figures(delivery), 30)
        wait_until(lambda: len(next(iter(delivery._ways.values())).intake) == 0, 30)
        lost = int(figures(delivery)["spool.dropped size"])
        with otlp_receiver(port) as receiver:
            wait_until(lambda: "spool.batch.count" not in figures(delivery), 30)

    assert 0 < lost < 30
    assert sorted(ticks(receiver.accepted)) == list(range(lost, 30))
    told = {
        metric.name: metric.gauge.data_points[0]
        for one in receiver.accepted
        for group in one.message.resource_metrics
        for metric in group.scope_metrics[0].metrics
        if metric.name.startswith("novacron.agent.gap.")
    }
    duration, points = told["novacron.agent.gap.duration"], told["novacron.agent.gap.points"]
    assert duration.time_unix_nano == points.time_unix_nano == START_NS + (lost - 1) * TICK_NS
    assert duration.as_double == pytest.approx((lost - 1) * TICK_NS / 1e9)
    assert points.as_int == lost
    assert {a.key: a.value.string_value for a in points.attributes} == {
        "novacron.destination": "there",
        "novacron.reason": "size",
    }
