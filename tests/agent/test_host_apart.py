"""What is read apart: nothing waits for it, and it does not hang twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from novacron_agent.host.apart import Apart
from novacron_agent.host.scraper import Host
from novacron_agent.identity import Machine
from novacron_agent.readings import Reading
from provider_contract import values

MACHINE = Machine(id="1" * 32, name="kvm-1", arch="amd64", os_description="Debian")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def begin() -> Reading:
    return Reading({}, time.time_ns())


def found(apart: Apart) -> Reading:
    deadline = time.monotonic() + 5
    while (reading := apart.take()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return reading


def wait_until_idle() -> None:
    deadline = time.monotonic() + 5
    while any(thread.name == "apart" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def uptime(reading: Reading) -> None:
    reading.add("system.uptime", 1.0)


def test_it_is_read_no_more_often_than_it_should_be(clock: Clock) -> None:
    turns: list[float] = []

    def read(reading: Reading) -> None:
        turns.append(clock.now)
        uptime(reading)

    apart = Apart(read, begin, 60, clock)
    found(apart)
    for clock.now in (10.0, 59.0):
        assert apart.take() is None
    clock.now = 60.0
    found(apart)

    assert turns == [0.0, 60.0]


def test_what_was_found_has_the_time_it_was_read_at(gate: threading.Event, clock: Clock) -> None:
    began = threading.Event()

    def read(reading: Reading) -> None:
        began.set()
        gate.wait(5)
        uptime(reading)

    apart = Apart(read, begin, 60, clock)
    assert apart.take() is None
    assert began.wait(5)
    while_reading = time.time_ns()
    gate.set()

    assert found(apart).time_ns <= while_reading


def test_what_hangs_is_told_and_not_asked_again(gate: threading.Event, clock: Clock) -> None:
    asked: list[float] = []

    def read(reading: Reading) -> None:
        asked.append(clock.now)
        gate.wait(5)
        uptime(reading)

    apart = Apart(read, begin, 60, clock)
    began = time.monotonic()
    assert apart.take() is None
    assert time.monotonic() - began < 1
    for clock.now in (60.0, 70.0):
        with pytest.raises(TimeoutError, match="no answer for"):
            apart.take()
    gate.set()
    wait_until_idle()
    found(apart)
    assert asked[0] == 0.0
    assert len(asked) <= 2


def test_what_is_found_at_once_still_comes_with_a_later_tick(clock: Clock) -> None:
    """So that the second scrape of `--once`, which is the one it shows, has all of it."""
    for _ in range(50):
        apart = Apart(uptime, begin, 60, clock)
        assert apart.take() is None
        found(apart)


def test_what_was_found_before_a_failure_is_not_lost(clock: Clock) -> None:
    def read(reading: Reading) -> None:
        uptime(reading)
        raise OSError("half of it")

    apart = Apart(read, begin, 60, clock)

    assert values(found(apart), "system.uptime") == {(): 1.0}
    with pytest.raises(OSError, match="half of it"):
        apart.take()
    assert apart.take() is None


def waiting(host: Host, until: Callable[[list[Reading], list[str]], bool]) -> None:
    deadline = time.monotonic() + 5
    while True:
        scrape = host.scrape()
        if until(scrape.readings, scrape.failures):
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_sensors_that_cannot_be_read_leave_the_rest_of_the_machine_alone() -> None:
    def broken(_reading: Reading) -> None:
        raise OSError(5, "Input/output error")

    host = Host(MACHINE)
    host.apart["sensors"] = Apart(broken, begin, 60)

    waiting(
        host,
        lambda readings, failures: (
            failures == ["sensors cannot be measured: [Errno 5] Input/output error"]
            and bool(values(readings[0], "system.uptime"))
        ),
    )
    assert host.scrape().failures == []  # once for each time it was read
