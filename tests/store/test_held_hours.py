"""Hours of series in memory: what is held, for how long, and what is read."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from noon import NOON
from novacron_contract.errors import TooLarge
from novacron_store.telemetry.builder import HeldHours
from novacron_store.telemetry.builder.held_hours import SeriesHours
from novacron_store.telemetry.builder.unpacked import Unpacked
from novacron_store.telemetry.samples import Borders

HOUR = 3600
NOW = Borders(NOON, NOON, 7)


class Hours:
    """Reads what the store has: `each` samples an hour of each series, and counts."""

    def __init__(self, each: int = 3) -> None:
        self.each, self.asked, self.values = each, [], 0.0
        self.may = threading.Event()
        self.may.set()

    asked: list[tuple[int, range]]

    def __call__(self, rows: Sequence[int], hours: range) -> Unpacked:
        self.asked.append((len(rows), hours))
        assert self.may.wait(20)
        series = np.repeat(np.arange(len(rows)), len(hours) * self.each)
        of_hour = np.linspace(0, HOUR - 1, self.each).astype(int)
        times = np.tile((np.array(hours)[:, None] + of_hour).ravel() * 1000, len(rows))
        return Unpacked(series, times, np.full(len(times), self.values), None)


def some(series: int = 1, hours: int = 3) -> SeriesHours:
    return SeriesHours(list(range(series)), range(NOON - hours * HOUR, NOON, HOUR))


def test_threads_that_want_the_same_hours_at_once_ask_once() -> None:
    held, read = HeldHours(), Hours()
    read.may.clear()
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(held.get, some(4), NOW, False, read) for _ in range(8)]
        read.may.set()
        told = [answer.result() for answer in answers]

    assert len(read.asked) == 1
    assert [len(one.times) for one in told] == [36] * 8


def test_who_waited_for_one_that_failed_asks_himself() -> None:
    held, read, asking = HeldHours(), Hours(), threading.Event()

    def fail(rows: Sequence[int], hours: range) -> Unpacked:
        asking.set()
        read(rows, hours)
        raise TooLarge("too many samples")

    read.may.clear()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(held.get, some(), NOW, False, fail)
        assert asking.wait(20)
        second = threads.submit(held.get, some(), NOW, False, read)
        read.may.set()
        with pytest.raises(TooLarge):
            first.result()
        assert len(second.result().times) == 9
    assert len(read.asked) == 2
    held.get(some(), NOW, False, read)
    assert len(read.asked) == 2


def test_what_was_read_while_hours_changed_is_held_for_nobody() -> None:
    """Not even where who read it, and another who asked before, do not know of that."""
    held, read, later = HeldHours(), Hours(), Borders(NOON, NOON, 8)

    def meanwhile(rows: Sequence[int], hours: range) -> Unpacked:
        before = read(rows, hours)
        read.values = 1.0
        assert held.get(some(), later, False, read).values.tolist() == [1.0] * 9
        held.get(some(2), NOW, False, read)
        return before

    assert held.get(some(), NOW, False, meanwhile).values.tolist() == [0.0] * 9
    for known in (NOW, later):
        assert held.get(some(), known, False, read).values.tolist() == [1.0] * 9


@pytest.mark.parametrize("other", [Borders(NOON, NOON, 8), Borders(NOON, NOON - HOUR, 7)])
def test_all_is_dropped_when_hours_changed_or_are_not_closed_any_more(other: Borders) -> None:
    held, read = HeldHours(), Hours()
    held.get(some(), NOW, False, read)

    read.values = 1.0
    held.get(SeriesHours([9], range(NOON - 2 * HOUR, NOON - HOUR, HOUR)), other, False, read)

    assert held.bytes < 1000
    assert held.get(some(), NOW, False, read).values.tolist() == [1.0] * 9


def test_an_hour_without_samples_is_held_too() -> None:
    held, read = HeldHours(), Hours(0)

    assert [len(held.get(some(2), NOW, False, read).times) for _ in range(2)] == [0, 0]
    assert len(read.asked) == 1


def test_of_hours_and_series_those_that_are_missing_are_read() -> None:
    held, read = HeldHours(), Hours()
    held.get(some(series=2, hours=2), NOW, False, read)

    told = held.get(some(series=4, hours=4), NOW, False, read)
    held.get(some(series=4, hours=2), NOW, False, read)

    assert read.asked == [(2, some(hours=2).hours), (4, some(hours=4).hours)]
    assert told.series.tolist() == sorted(4 * list(range(4)) * 3)
    assert all((np.diff(told.times[told.series == row]) > 0).all() for row in range(4))
    held.get(SeriesHours([0, 7], some(hours=4).hours), NOW, False, read)
    assert read.asked[2] == (1, some(hours=4).hours)


def test_who_writes_to_an_answer_changes_his_own() -> None:
    held, read = HeldHours(), Hours()
    told = held.get(some(), NOW, False, read)

    for _ in range(2):
        told.values[:] = 9.0
        told.times[:] = 9
        told = held.get(some(), NOW, False, read)
        assert told.values.tolist() == [0.0] * 9
    assert len(read.asked) == 1


def test_no_more_is_held_than_there_is_room_for() -> None:
    room = 2_000_000
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    held, read = HeldHours(room), Hours(each=60)
    read(range(1), range(0, HOUR, HOUR))
    hours = some(hours=8).hours
    for n in range(400):
        held.get(SeriesHours([0], hours), NOW, False, read)
        held.get(SeriesHours([n], hours), NOW, False, read)
        assert held.bytes <= room
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held.bytes > 0.9 * room
    assert after - before < 1.2 * room
    read.asked.clear()
    for n in (0, 399):  # what was wanted last, and again and again
        held.get(SeriesHours([n], hours), NOW, False, read)
    assert read.asked == []
    held.get(SeriesHours([1], hours), NOW, False, read)
    assert len(read.asked) == 1


def test_an_answer_that_would_take_most_of_the_room_is_not_held() -> None:
    held, read = HeldHours(100_000), Hours(each=1000)

    assert [len(held.get(some(), NOW, False, read).times) for _ in range(2)] == [3000, 3000]
    assert (held.bytes, len(read.asked)) == (0, 2)


def test_hours_are_held_for_minutes_and_no_longer() -> None:
    """What the engine drops by itself is told by nobody."""
    held, read = HeldHours(held_s=3600), Hours()
    held.get(some(), NOW, False, read)
    read.values = 1.0
    assert held.get(some(), NOW, False, read).values.tolist() == [0.0] * 9

    for key, hour in held._hours.items():
        held._hours[key] = replace(hour, asked=hour.asked - 3601)

    assert held.get(some(), NOW, False, read).values.tolist() == [1.0] * 9
