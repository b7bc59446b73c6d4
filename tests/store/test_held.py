"""One thread asks, the others take what is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from novacron_store.telemetry.builder.held import Behind, Held


class Source:
    """Counts what is asked of it, and answers when it may."""

    def __init__(self) -> None:
        self.asked, self.may = 0, threading.Event()

    def __call__(self, _: None) -> int:
        self.asked += 1
        number = self.asked
        assert self.may.wait(20)
        return number


def test_threads_that_come_together_ask_once() -> None:
    held, source = Held[None, int](60), Source()
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(held.get, None, source) for _ in range(8)]
        source.may.set()
        assert [answer.result() for answer in answers] == [1] * 8
    assert source.asked == 1


def test_who_comes_while_another_asks_takes_the_answer_before() -> None:
    held, source = Held[None, int](0.2), Source()
    source.may.set()
    assert held.get(None, source) == 1
    threading.Event().wait(0.25)
    source.may.clear()
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(held.get, None, source)
        while source.asked < 2:
            pass
        assert held.get(None, source) == 1
        source.may.set()
        assert asking.result() == 2
    assert held.get(None, source) == 2
    assert source.asked == 2


def test_an_answer_that_is_too_old_is_waited_for() -> None:
    held, source = Held[None, int](0.01), Source()
    source.may.set()
    held.get(None, source)
    threading.Event().wait(0.1)
    assert held.get(None, source) == 2


def test_a_failure_is_told_and_not_held() -> None:
    held = Held[None, int](60)

    def fail(_: None) -> int:
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        held.get(None, fail)
    assert held.get(None, lambda _: 7) == 7


def test_behind_their_backs_nobody_waits() -> None:
    held, source = Held[None, int](0.1, Behind(lambda: None)), Source()
    source.may.set()
    assert held.get(None, source) == 1
    threading.Event().wait(0.15)
    source.may.clear()
    assert [held.get(None, source) for _ in range(3)] == [1, 1, 1]
    source.may.set()
    _wait_until(lambda: held.get(None, source) == 2)
    assert source.asked == 2


@pytest.mark.parametrize("broken", ["client", "question"])
def test_a_failure_behind_their_backs_is_tried_again_once_in_a_while(broken: str) -> None:
    """What was known holds meanwhile, until it is too old: then the failure is told."""
    failures = []

    def fail(_: object = None) -> int:
        failures.append(1)
        raise ValueError("gone")

    held = Held[None, int](0.5, Behind(fail if broken == "client" else lambda: None))  # type: ignore[arg-type]
    held.get(None, lambda _: 1)
    threading.Event().wait(0.55)
    _wait_until(lambda: held.get(None, fail) == 1 and len(failures) == 1)
    assert [held.get(None, fail) for _ in range(20)] == [1] * 20
    assert len(failures) == 1
    threading.Event().wait(2)
    with pytest.raises(ValueError, match="gone"):
        held.get(None, fail)


def test_nobody_waits_for_the_thread_behind_when_another_answer_keeps_it_busy() -> None:
    behind, slow = Behind[None](lambda: None), threading.Event()
    held = Held[None, int](0.1, behind)
    held.get(None, lambda _: 1)
    threading.Event().wait(0.15)

    def wait(_: None) -> None:
        slow.wait(30)

    behind.submit(wait)
    assert held.get(None, lambda _: 2) == 1
    threading.Event().wait(0.4)
    assert held.get(None, lambda _: 3) == 3
    slow.set()


def _wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
