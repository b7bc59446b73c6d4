"""A destination that answers this or that, or nothing: nothing is lost that it could still take."""

from __future__ import annotations

import gzip
import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from certificates import certificates
from forwarding import destination, forwarding, gauge, values
from free_ports import free_port
from live_feed import wait_until
from novacron_collector.forward.forwarder import Forwarder
from novacron_contract.errors import ConfigError
from otlp_grpc_receiver import otlp_grpc_receiver, refusing
from otlp_receiver import Response, otlp_receiver
from tcp_peers import hang, serving

PROTOBUF = {"Content-Type": "application/x-protobuf"}


def counted(forwarder: Forwarder, name: str) -> float:
    return forwarder.counters()[f"forward_there_{name}"]


def partly(rejected: int, why: str) -> bytes:
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = rejected
    answer.partial_success.error_message = why
    return bytes(answer.SerializeToString())


def test_what_is_offered_arrives_with_its_headers(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("# for there alone\nAuthorization: Bearer s3cret\n")
    with otlp_receiver() as target:
        there = destination(
            target.url, headers={"X-Scope": "vms"}, headers_file=str(tmp_path / "secret")
        )
        with forwarding(tmp_path, there) as forwarder:
            forwarder.offer([gauge("cpu", 3)])
            (received,) = target.wait_for(1)
            wait_until(lambda: counted(forwarder, "waiting_bytes") == 0)
            assert counted(forwarder, "points") == 3

    assert received.path == "/v1/metrics"
    assert received.headers["Authorization"] == "Bearer s3cret"
    assert received.headers["X-Scope"] == "vms"
    assert received.headers["User-Agent"] == "test/1"
    assert values([received]) == [("cpu", 0), ("cpu", 1), ("cpu", 2)]


def test_small_requests_are_joined(tmp_path: Path) -> None:
    with otlp_receiver() as target, forwarding(tmp_path, destination(target.url)) as forwarder:
        forwarder.offer([gauge(f"m{n}") for n in range(100)])
        received = target.wait_for(1)
    assert values(received) == [(f"m{n}", 0) for n in range(100)]


@pytest.mark.parametrize("status", [429, 503, 401])
def test_an_answer_that_may_become_better_is_asked_for_again(tmp_path: Path, status: int) -> None:
    with otlp_receiver() as target, forwarding(tmp_path, destination(target.url)) as forwarder:
        target.will_answer(Response(status, b"not now"))
        forwarder.offer([gauge("cpu")])
        received = target.wait_for(2)
        wait_until(lambda: counted(forwarder, "requests") == 1)
        assert counted(forwarder, "failed") == 1
        assert counted(forwarder, "dropped") == 0
    assert [one.status for one in received] == [status, 200]


def test_retry_after_is_heeded(tmp_path: Path) -> None:
    with otlp_receiver() as target, forwarding(tmp_path, destination(target.url)) as forwarder:
        target.will_answer(Response(429, headers={"Retry-After": "3"}))
        forwarder.offer([gauge("cpu")])
        target.wait_for(1)
        asked = time.monotonic()
        target.wait_for(2)
    assert 2.5 < time.monotonic() - asked < 6


def test_whoever_shows_another_certificate_gets_nothing_and_it_waits(tmp_path: Path) -> None:
    tls = certificates(tmp_path)
    with otlp_receiver(tls=tls.server_context()) as target:
        with forwarding(tmp_path, destination(target.url), drain_s=1) as forwarder:
            forwarder.offer([gauge("cpu")])
            wait_until(lambda: counted(forwarder, "failed") >= 2)
            assert "certificate" in forwarder.state().destinations[0].problem.lower()
            assert counted(forwarder, "waiting_bytes") > 0
        assert target.received == []

    with otlp_receiver(tls=tls.server_context()) as target:
        there = destination(target.url, ca_file=str(tls.ca))
        with forwarding(tmp_path, there):
            assert values(target.wait_for(1)) == [("cpu", 0)]


def test_a_file_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    there = destination("grpcs://127.0.0.1:1", headers_file=str(tmp_path / "none"))
    told = r"forward: there: .*/none: cannot be .*No such file"
    with pytest.raises(ConfigError, match=told), forwarding(tmp_path, there):
        pass


def test_what_is_refused_for_good_is_dropped_counted_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with otlp_receiver() as target, forwarding(tmp_path, destination(target.url)) as forwarder:
        target.will_answer(Response(400, b"bad"), Response(400, b"bad"))
        for _ in range(2):
            before = len(target.received)
            forwarder.offer([gauge("bad", 2)])
            target.wait_for(before + 1)
            wait_until(lambda: counted(forwarder, "waiting_bytes") == 0)
        forwarder.offer([gauge("good")])
        received = target.wait_for(3)
        wait_until(lambda: counted(forwarder, "points") == 1)
        assert counted(forwarder, "dropped") == 4
        (state,) = forwarder.state().destinations
        assert (state.dropped, state.reason) == (4, "HTTP 400 bad")
    assert [one.status for one in received] == [400, 400, 200]
    assert len([r for r in caplog.messages if "not taken: HTTP 400 bad" in r]) == 1


@pytest.mark.parametrize(("status", "failing"), [(400, 4), (500, 5 + 3)])
def test_one_bad_request_costs_its_joined_neighbours_nothing(
    tmp_path: Path, status: int, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And little time: halves of what failed five times are tried once."""
    monkeypatch.setattr("novacron_collector.forward.sender._LONGEST_WAIT_S", 0.1)

    def picky(body: bytes) -> Response:
        return Response(status, b"poison") if b"poison" in gzip.decompress(body) else Response()

    items = [gauge(f"m{n}") for n in range(7)]
    items.insert(5, gauge("poison", 5))
    with (
        otlp_receiver(otherwise=picky) as target,
        forwarding(tmp_path, destination(target.url)) as forwarder,
    ):
        forwarder.offer(items)
        wait_until(lambda: counted(forwarder, "points") == 7, 30)
        wait_until(lambda: counted(forwarder, "dropped") == 5, 30)
        assert values(target.accepted) == [(f"m{n}", 0) for n in range(7)]
    assert [one.status for one in target.received].count(status) == failing


def test_what_is_too_large_goes_in_parts_and_only_what_cannot_is_dropped(tmp_path: Path) -> None:
    def narrow(body: bytes) -> Response:
        return Response(413 if len(body) > 2000 else 200)

    with (
        otlp_receiver(otherwise=narrow) as target,
        forwarding(tmp_path, destination(target.url, compression="none")) as forwarder,
    ):
        forwarder.offer([gauge("wide", 50, padding=300), gauge("huge", 1, padding=5000)])
        wait_until(lambda: counted(forwarder, "points") == 50)
        wait_until(lambda: counted(forwarder, "dropped") == 1)
        assert values(target.accepted) == [("wide", n) for n in range(50)]
    assert all(len(one.body) <= 2000 for one in target.accepted)


def test_a_server_error_is_tried_some_times_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novacron_collector.forward.sender._LONGEST_WAIT_S", 0.1)
    with otlp_receiver() as target, forwarding(tmp_path, destination(target.url)) as forwarder:
        target.will_answer(*5 * [Response(500, b"oops")])
        forwarder.offer([gauge("bad")])
        wait_until(lambda: counted(forwarder, "dropped") == 1)
        forwarder.offer([gauge("good")])
        wait_until(lambda: counted(forwarder, "points") == 1)
        assert values(target.accepted) == [("good", 0)]


def test_points_that_the_destination_rejects_are_counted(tmp_path: Path) -> None:
    with otlp_receiver() as target, forwarding(tmp_path, destination(target.url)) as forwarder:
        target.will_answer(Response(200, partly(2, "too old"), PROTOBUF))
        forwarder.offer([gauge("cpu", 5)])
        wait_until(lambda: counted(forwarder, "requests") == 1)
        assert counted(forwarder, "points") == 3
        assert counted(forwarder, "dropped") == 2
        assert forwarder.state().destinations[0].reason == "too old"
    assert len(target.received) == 1, "never sent again"


def cut(connection: socket.socket) -> None:
    connection.recv(10)


def drip(connection: socket.socket) -> None:
    """An answer that goes on for ever, a byte at a time."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize("behaviour", [hang, cut, drip])
@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_destination_that_does_not_answer_is_told_of_and_holds_up_no_stop(
    tmp_path: Path, behaviour: Any, scheme: str
) -> None:
    with serving(behaviour) as port:
        there = destination(f"{scheme}://127.0.0.1:{port}", timeout="300ms")
        with forwarding(tmp_path, there, drain_s=2) as forwarder:
            forwarder.offer([gauge("cpu")])
            wait_until(lambda: counted(forwarder, "failed") >= 2)
            assert forwarder.state().destinations[0].problem
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 3

    with otlp_receiver() as target, forwarding(tmp_path, destination(target.url)):
        assert values(target.wait_for(1)) == [("cpu", 0)], "it waited on disk"


def test_a_dead_destination_harms_neither_the_living_nor_who_offers(tmp_path: Path) -> None:
    with otlp_receiver() as target, serving(hang) as nobody:
        dead = destination(f"http://127.0.0.1:{nobody}", name="dead", timeout="60s")
        gone = destination(f"grpc://127.0.0.1:{free_port()}", name="gone")
        with forwarding(tmp_path, dead, gone, destination(target.url), drain_s=0.5) as forwarder:
            offers = []
            for n in range(50):
                started = time.monotonic()
                forwarder.offer([gauge(f"m{n}")])
                offers.append(time.monotonic() - started)
            wait_until(lambda: counted(forwarder, "points") == 50)
            waiting = [forwarder.counters()[f"forward_{n}_waiting_bytes"] for n in ("dead", "gone")]
            assert min(waiting) > 0
    assert sorted(values(target.accepted)) == sorted((f"m{n}", 0) for n in range(50))
    assert sorted(offers)[25] < 0.1


def test_a_queue_whose_destination_left_the_settings_is_kept_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = destination(f"http://127.0.0.1:{free_port()}", name="former")
    with forwarding(tmp_path, nowhere, drain_s=0) as forwarder:
        forwarder.offer([gauge("cpu")])

    with forwarding(tmp_path) as forwarder:
        assert forwarder.state().abandoned == ("former",)
        assert forwarder.counters() == {"forward_abandoned": 1}
    assert f"{tmp_path}/former is kept, but no destination has that name" in caplog.text

    with otlp_receiver() as target, forwarding(tmp_path, destination(target.url, name="former")):
        assert values(target.wait_for(1)) == [("cpu", 0)]


def test_a_filter_of_one_destination_is_not_the_others(tmp_path: Path) -> None:
    with otlp_receiver() as one, otlp_receiver() as other:
        only_vms = destination(one.url, name="one", metrics=["vm.*"], exclude_metrics=["*.io"])
        with forwarding(tmp_path, only_vms, destination(other.url)) as forwarder:
            names = ["vm.cpu", "vm.disk.io", "system.cpu"]
            forwarder.offer([gauge(name) for name in names])
            assert values(one.wait_for(1)) == [("vm.cpu", 0)]
            assert values(other.wait_for(1)) == [(name, 0) for name in names]


def test_no_secret_is_ever_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "novacron_collector")
    (tmp_path / "secret").write_text("Authorization: s3cret")
    there = destination(
        f"http://127.0.0.1:{free_port()}",
        headers={"X-Key": "s3cret"},
        headers_file=str(tmp_path / "secret"),
        proxy=f"http://user:s3cret@127.0.0.1:{free_port()}",
    )
    with forwarding(tmp_path, there, drain_s=1) as forwarder:
        forwarder.offer([gauge("cpu")])
        wait_until(lambda: counted(forwarder, "failed") >= 1)
        assert "s3cret" not in str(forwarder.state())
    assert "forwarding to there: " in caplog.text
    assert "s3cret" not in caplog.text


# -- gRPC ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_grpc_delivers_with_its_metadata(tmp_path: Path, compression: str) -> None:
    with otlp_grpc_receiver() as target:
        there = destination(
            f"grpc://{target.address}", headers={"X-Scope": "vms"}, compression=compression
        )
        with forwarding(tmp_path, there) as forwarder:
            forwarder.offer([gauge("cpu", 3)])
            wait_until(lambda: counted(forwarder, "points") == 3)
    assert values(target.accepted) == [("cpu", 0), ("cpu", 1), ("cpu", 2)]
    assert target.accepted[0].headers["x-scope"] == "vms"
    assert target.accepted[0].headers["user-agent"].startswith("test/1 ")


@pytest.mark.parametrize(
    ("code", "is_taken_later"),
    [
        ("UNAVAILABLE", True),
        ("RESOURCE_EXHAUSTED", True),  # a quota, as it is small
        ("INTERNAL", True),
        ("INVALID_ARGUMENT", False),
    ],
)
def test_grpc_answers_mean_what_otlp_says(tmp_path: Path, code: str, is_taken_later: bool) -> None:
    with otlp_grpc_receiver() as target:
        target.will_answer(refusing(code))
        with forwarding(tmp_path, destination(f"grpc://{target.address}")) as forwarder:
            forwarder.offer([gauge("cpu")])
            name = "points" if is_taken_later else "dropped"
            wait_until(lambda: counted(forwarder, name) == 1)
    assert values(target.accepted) == ([("cpu", 0)] if is_taken_later else [])


def test_grpc_retry_info_is_heeded(tmp_path: Path) -> None:
    with otlp_grpc_receiver() as target:
        target.will_answer(refusing("RESOURCE_EXHAUSTED", retry_s=3))
        with forwarding(tmp_path, destination(f"grpc://{target.address}")) as forwarder:
            forwarder.offer([gauge("cpu")])
            wait_until(lambda: counted(forwarder, "failed") == 1)
            asked = time.monotonic()
            wait_until(lambda: counted(forwarder, "points") == 1)
    assert time.monotonic() - asked > 2.5


def test_grpc_messages_that_are_too_large_go_in_parts(tmp_path: Path) -> None:
    with (
        otlp_grpc_receiver(max_message=200_000) as target,
        forwarding(tmp_path, destination(f"grpc://{target.address}")) as forwarder,
    ):
        forwarder.offer([gauge("wide", 1000, padding=500)])
        wait_until(lambda: counted(forwarder, "points") == 1000)
    assert values(target.accepted) == [("wide", n) for n in range(1000)]
