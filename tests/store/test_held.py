"""One thread asks, the others take what is there."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from novacron_store.telemetry.builder.held import Held


class Source:
    """Counts what is asked of it, and answers when it may."""

    def __init__(self) -> None:
        self.asked, self.may = 0, threading.Event()

    def __call__(self) -> int:
        self.asked += 1
        number = self.asked
        assert self.may.wait(20)
        return number


def test_threads_that_come_together_ask_once() -> None:
    held, source = Held[int](60), Source()
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(held.get, source) for _ in range(8)]
        source.may.set()
        assert [answer.result() for answer in answers] == [1] * 8
    assert source.asked == 1


def test_who_comes_while_another_asks_takes_the_answer_before() -> None:
    held, source = Held[int](0.2), Source()
    source.may.set()
    assert held.get(source) == 1
    threading.Event().wait(0.25)
    source.may.clear()
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(held.get, source)
        while source.asked < 2:
            pass
        assert held.get(source) == 1
        source.may.set()
        assert asking.result() == 2
    assert held.get(source) == 2
    assert source.asked == 2


def test_an_answer_that_is_too_old_is_waited_for() -> None:
    held, source = Held[int](0.01), Source()
    source.may.set()
    held.get(source)
    threading.Event().wait(0.1)
    assert held.get(source) == 2


def test_a_failure_is_told_and_not_held() -> None:
    held = Held[int](60)

    def fail() -> int:
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        held.get(fail)
    assert held.get(lambda: 7) == 7
