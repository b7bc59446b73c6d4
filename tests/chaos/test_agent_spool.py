"""kill -9 of an agent, again and again, while its collector is there, busy or away; full disks."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

from chaos.disks import full
from delivering import delivering, destination, figures, wait_until
from novacron_agent.delivery.delivery import Delivery
from otlp_receiver import Received, Receiver, Response, otlp_receiver
from sealed_requests import START_NS, TICK_NS, request

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]

KILLS = int(os.environ.get("KILLS", "20"))
_ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
SEED = int(os.environ.get("SEED", "20261130"))


class Books:
    """What was on disk, what arrived, and what was told to be lost."""

    def __init__(self) -> None:
        self.on_disk: set[int] = set()
        self.tried: set[int] = set()  # the last one before a kill: on disk, or not

    @staticmethod
    def arrived(receiver: Receiver) -> dict[int, set[bytes]]:
        found: dict[int, set[bytes]] = {}
        for one in receiver.accepted:
            metric = _first_metric(one)
            if metric.name == "vm.disk.limit":
                number = (metric.sum.data_points[0].time_unix_nano - START_NS) // TICK_NS
                found.setdefault(number, set()).add(one.body)
        return found

    @staticmethod
    def gaps(receiver: Receiver) -> list[tuple[int, int, int]]:
        """(first, last, points), each told once: the same bytes are the same request."""
        found = []
        for body, one in {one.body: one for one in receiver.accepted}.items():
            assert body
            metrics = one.message.resource_metrics[0].scope_metrics[0].metrics
            told: dict[str, list[NumberDataPoint]] = {}
            for metric in metrics:
                told.setdefault(metric.name, []).extend(metric.gauge.data_points)
            lengths = told.get("novacron.agent.gap.duration", [])
            for length, points in zip(
                lengths, told.get("novacron.agent.gap.points", []), strict=True
            ):
                last = (length.time_unix_nano - START_NS) // TICK_NS
                first = last - round(length.as_double * 1e9 / TICK_NS)
                found.append((first, last, points.as_int))
        return found


def _first_metric(one: Received):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return one.message.resource_metrics[0].scope_metrics[0].metrics[0]


def test_nothing_that_was_on_disk_is_lost_or_comes_as_something_else(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    books, mood = Books(), {"refusing": 0.0}

    def answer(_body: bytes) -> Response:
        return Response(503 if chance.random() < mood["refusing"] else 200)

    with otlp_receiver(otherwise=answer) as receiver:
        number = 1
        for _ in range(KILLS):
            mood["refusing"] = chance.choice((0.0, 0.3, 1.0))
            number = _run_and_kill(tmp_path, receiver.url, number, chance, books)
        mood["refusing"] = 0.0
        _drain(tmp_path, receiver.url, number, books)

    arrived, gaps = books.arrived(receiver), books.gaps(receiver)
    assert [n for n, bodies in arrived.items() if len(bodies) > 1] == [], "sealed: the same bytes"
    missing = books.on_disk - arrived.keys()
    untold = [n for n in missing if not any(first <= n <= last for first, last, _ in gaps)]
    assert untold == [], "what is missing is in a gap"
    told = sum(points for _, _, points in gaps)
    # One in hand when killed may have arrived, or be on disk without our knowing it
    assert len(missing) <= told <= len(missing) + 2 * KILLS
    sys.stdout.write(
        f"{KILLS} kills: {len(books.on_disk)} on disk, {len(arrived)} arrived, "
        f"{len(missing)} in {len(gaps)} gaps of {told} points\n"
    )
    assert len(arrived) > KILLS
    assert KILLS < 10 or gaps


def _run_and_kill(folder: Path, url: str, first: int, chance: random.Random, books: Books) -> int:
    """The number to go on with."""
    command = [sys.executable, "-m", "chaos.spooling", str(folder), url, str(first)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=_ENVIRONMENT) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read().decode()
        time.sleep(chance.uniform(0, 1.2))
        process.kill()
        said = [int(number) for number in (line + process.stdout.read()).split()]
    books.on_disk.update(said)
    return max(said) + 1  # the one that was not said may be there: then it is there twice, or once


def _drain(folder: Path, url: str, number: int, books: Books) -> None:
    command = [sys.executable, "-m", "chaos.spooling", str(folder), url, str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=_ENVIRONMENT) as process:
        assert process.stdout is not None
        time.sleep(4)
        process.kill()
        said = [int(n) for n in process.stdout.read().split()]
    books.on_disk.update(said[: -len(said) // 2])  # the newest may still wait
    assert len(said) > 20


def test_a_full_disk_costs_the_oldest_alone_and_it_goes_on_by_itself(
    small_disk: Callable[[str], Path],
) -> None:
    disk = small_disk("48m")
    with otlp_receiver() as receiver:
        away = destination("http://127.0.0.1:9", spool_size="16MiB")
        with delivering(disk, away) as delivery:
            _offer(delivery, range(40))
            wait_until(lambda: figures(delivery).get("spool.batch.count") == 40, 30)
            assert (disk / "spool/there.ballast").exists()
            with full(disk):
                _offer(delivery, range(40, 60))
                assert figures(delivery).get("spool.errors", 0) == 0
                assert figures(delivery)["spool.dropped disk"] > 0
            _offer(delivery, range(60, 65))
        with delivering(disk, destination(receiver.url, spool_size="16MiB")) as delivery:
            wait_until(lambda: figures(delivery).keys() == {"export.points"}, 60)

    arrived = Books.arrived(receiver)
    assert set(range(60, 65)) <= arrived.keys()
    assert set(range(65)) - arrived.keys() <= set(range(min(arrived)))
    [(first, last, points)] = Books.gaps(receiver)
    assert (first, last, points) == (0, min(arrived) - 1, min(arrived))


def test_a_disk_that_is_full_from_the_start_does_not_keep_anything_from_being_sent(
    small_disk: Callable[[str], Path],
) -> None:
    disk = small_disk("8m")
    with (
        full(disk),
        otlp_receiver() as receiver,
        delivering(disk, destination(receiver.url)) as delivery,
    ):
        _offer(delivery, range(5), wait=False)
        receiver.wait_for(5, timeout=30)
        wait_until(lambda: figures(delivery).get("export.points") == 5)
        assert figures(delivery)["spool.errors"] >= 1
    assert Books.arrived(receiver).keys() == set(range(5))


def _offer(delivery: Delivery, numbers: range, *, wait: bool = True) -> None:
    [way] = delivery._ways.values()
    for number in numbers:
        delivery.offer(request(number, padding=400_000))
        if wait:
            wait_until(lambda: len(way.intake) == 0, 30)
