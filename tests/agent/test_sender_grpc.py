"""Delivery to a real gRPC peer that answers well, badly or not at all."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivering import dead_letters, delivering, destination, figures, wait_until
from otlp_grpc_receiver import GrpcReceiver, otlp_grpc_receiver, refusing
from sealed_requests import request


@pytest.fixture
def receiver() -> Iterator[GrpcReceiver]:
    with otlp_grpc_receiver() as receiver:
        yield receiver


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_a_request_arrives(tmp_path: Path, receiver: GrpcReceiver, compression: str) -> None:
    there = destination(f"grpc://{receiver.address}", compression=compression)
    with delivering(tmp_path, there) as delivery:
        delivery.offer(request(points=3))
        [received] = receiver.wait_for(1)
        wait_until(lambda: figures(delivery) == {"export.points": 3})

    assert received.points == 3
    assert "novacron-agent/1.2.3" in received.headers["user-agent"]
    assert abs(int(received.headers["x-novacron-sent-at"]) / 1000 - time.time()) < 10


@pytest.mark.parametrize("code", ["UNAVAILABLE", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED"])
def test_what_may_become_better_is_tried_again(
    tmp_path: Path, receiver: GrpcReceiver, code: str
) -> None:
    receiver.will_answer(refusing(code), refusing(code))
    with delivering(tmp_path, destination(f"grpc://{receiver.address}")) as delivery:
        delivery.offer(request(points=2))
        received = receiver.wait_for(3)
        wait_until(lambda: figures(delivery) == {"export.points": 2, "export.errors": 2})

    assert len({r.body for r in received}) == 1


def test_a_body_at_fault_is_a_dead_letter(tmp_path: Path, receiver: GrpcReceiver) -> None:
    receiver.will_answer(refusing("INVALID_ARGUMENT", "no such\nfield"))
    with delivering(tmp_path, destination(f"grpc://{receiver.address}")) as delivery:
        delivery.offer(request(points=5))
        wait_until(lambda: figures(delivery).get("export.dropped refused") == 5)

    assert dead_letters(tmp_path) == [("gRPC INVALID_ARGUMENT no such field", 5)]


def test_retry_info_is_kept(tmp_path: Path, receiver: GrpcReceiver) -> None:
    receiver.will_answer(refusing("RESOURCE_EXHAUSTED", "quota", retry_s=1.2))
    started = time.monotonic()
    with delivering(tmp_path, destination(f"grpc://{receiver.address}")) as delivery:
        delivery.offer(request())
        receiver.wait_for(2)

    assert 1.2 <= time.monotonic() - started < 5


def test_what_is_too_large_goes_in_halves_down_to_a_point(tmp_path: Path) -> None:
    with otlp_grpc_receiver(max_message=700) as receiver:
        there = destination(f"grpc://{receiver.address}", compression="none")
        with delivering(tmp_path, there) as delivery:
            delivery.offer(request(points=20))
            delivery.offer(request(1, points=2, padding=2000))
            wait_until(lambda: figures(delivery).get("export.dead_letters") == 2)
            wait_until(lambda: figures(delivery).get("export.points", 0) >= 20)

    assert [points for _reason, points in dead_letters(tmp_path)] == [1, 1]
    assert sum(one.points for one in receiver.received if one.points) in (20, 22)


def test_who_is_back_is_found_within_five_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with delivering(tmp_path, destination(f"grpc://127.0.0.1:{port}")) as delivery:
        delivery.offer(request())
        wait_until(lambda: figures(delivery).get("export.errors", 0) >= 9, 30)
        with otlp_grpc_receiver(port) as receiver:
            receiver.wait_for(1, timeout=5)


def test_grpc_is_loaded_where_it_is_asked_for_alone() -> None:
    code = (
        "import sys, novacron_agent.cli\n"
        "print('grpc' in sys.modules)\n"
        "import novacron_otlp.grpc\n"
        "print('grpc' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]
