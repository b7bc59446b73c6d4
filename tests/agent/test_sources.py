"""Sources that work, fail and hang beside each other."""

from __future__ import annotations

import threading
import time

import pytest

from novacron_agent.agent import ticks
from novacron_agent.counts import Counts
from novacron_agent.readings import Group, Reading, Scrape
from novacron_agent.sources import Source, collect, collect_changes
from novacron_agent.wake import Wake
from novacron_contract.errors import Unavailable
from provider_contract import values


def reading(name: str) -> Reading:
    return Reading({"host.id": name}, 1)


def names(readings: list[Reading]) -> list[str | float]:
    return [r.resource["host.id"] for r in readings]


def errors(counts: Counts, source: str) -> float:
    return values(counts.reading({}), "novacron.agent.scrape.errors")[source,]


def test_a_hung_source_stops_no_other_and_its_late_result_is_not_lost() -> None:
    counts, release = Counts(), threading.Event()

    def hang() -> Scrape:
        release.wait(10)
        return Scrape([reading("late")])

    sources = [
        Source("kvm", hang, counts),
        Source("host", lambda: Scrape([reading("host")]), counts),
    ]

    assert names(collect(sources, 0.1)) == ["host"]
    started = time.monotonic()
    assert names(collect(sources, 5)) == ["host"]
    assert time.monotonic() - started < 2, "a source that hangs already is not waited for"
    assert errors(counts, "kvm") == 1
    assert errors(counts, "host") == 0

    release.set()
    time.sleep(0.1)
    assert sorted(map(str, names(collect(sources, 5)))) == ["host", "late", "late"]


def test_a_failure_is_counted_each_time_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    counts = Counts()
    answers: list[Scrape | Exception] = [
        Unavailable("no answer from libvirt"),
        Unavailable("no answer from libvirt"),
        Scrape([reading("back")]),
    ]

    def scrape() -> Scrape:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = Source("kvm", scrape, counts)
    found = [names(collect([source], 5)) for _ in range(3)]

    assert found == [[], [], ["back"]]
    assert errors(counts, "kvm") == 2
    assert caplog.messages == ["kvm: no answer from libvirt", "kvm: measured again"]


def test_a_fault_in_a_source_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    counts, faults = Counts(), [ZeroDivisionError("a bug")]

    def scrape() -> Scrape:
        if faults:
            raise faults.pop()
        return Scrape([reading("fine")])

    source = Source("kvm", scrape, counts)

    assert collect([source], 5) == []
    assert names(collect([source], 5)) == ["fine"]
    assert errors(counts, "kvm") == 1
    assert "a bug" in caplog.text


def test_the_end_does_not_wait_for_a_source_that_hangs() -> None:
    counts, wake, closed = Counts(), Wake(), threading.Event()
    release = threading.Event()

    def hang() -> Scrape:
        release.wait(10)
        return Scrape()

    source = Source("kvm", hang, counts, closed.set)
    threading.Timer(0.1, wake.stop).start()
    started = time.monotonic()
    assert collect([source], 10, wake) == []
    source.end(0.1)
    assert time.monotonic() - started < 2
    assert not closed.is_set()

    release.set()
    assert closed.wait(5), "once it can, it lets go"


def test_what_could_not_be_measured_is_counted_beside_what_could() -> None:
    counts = Counts()
    source = Source("host", lambda: Scrape([reading("part")], ["disk: no", "swap: no"]), counts)

    assert names(collect([source], 5)) == ["part"]
    assert errors(counts, "host") == 2
    [duration] = values(counts.reading({}), "novacron.agent.scrape.duration").values()
    assert 0 <= duration < 5


def test_changes_are_asked_of_those_who_tell_them_and_count_as_no_scrape() -> None:
    counts, wake = Counts(), Wake()
    kvm = Source(
        "kvm",
        lambda: Scrape([reading("all")]),
        counts,
        changes=lambda: Scrape([reading("changed")]),
    )
    host = Source("host", lambda: Scrape([reading("host")]), counts)

    assert names(collect_changes([kvm, host], 5, wake)) == ["changed"]
    assert values(counts.reading({}), "novacron.agent.scrape.duration") == {}
    assert sorted(map(str, names(collect([kvm, host], 5)))) == ["all", "host"]


def test_machines_that_are_stuck_are_counted_by_group() -> None:
    counts = Counts()
    scrape = Scrape([reading("all")], groups={"qemu": Group(0.25, 2), "storage": Group(None, 0)})
    collect([Source("kvm", lambda: scrape, counts)], 5)

    own = counts.reading({})
    stuck = values(own, "novacron.agent.scrape.stuck")
    assert stuck == {("kvm.qemu",): 2, ("kvm.storage",): 0}
    assert values(own, "novacron.agent.scrape.duration")["kvm.qemu",] == 0.25


def test_the_wait_for_a_tick_ends_with_a_change_or_with_the_end() -> None:
    wake = Wake()
    far = time.monotonic() + 30
    threading.Timer(0.05, wake.change).start()
    assert wake.wait(far)
    assert not wake.wait(time.monotonic() + 0.05), "a change is told once"
    threading.Timer(0.05, wake.stop).start()
    assert not wake.wait(far)
    assert wake.is_stopping
    assert time.monotonic() < far - 20


def test_ticks_keep_their_time_and_changes_come_in_between() -> None:
    wake = Wake()
    seen = []
    for is_tick in ticks(0.3, wake):
        seen.append(is_tick)
        if len(seen) == 1:
            wake.change()
        if len(seen) == 4:
            wake.stop()
    assert seen == [True, False, True, True]


def test_a_late_scrape_comes_with_the_next_one_and_delays_no_other() -> None:
    counts, number, release = Counts(), iter(range(1, 9)), threading.Event()

    def scrape() -> Scrape:
        this = next(number)
        if this == 1:
            release.wait(10)
        return Scrape([reading(f"scrape {this}")])

    source = Source("kvm", scrape, counts)
    assert collect([source], 0.05) == []
    release.set()
    time.sleep(0.1)
    assert names(collect([source], 5)) == ["scrape 1", "scrape 2"]
    assert names(collect([source], 5)) == ["scrape 3"]


def test_a_tick_is_not_lost_to_changes_that_take_long() -> None:
    counts, wake, release = Counts(), Wake(), threading.Event()

    def changes() -> Scrape:
        release.wait(10)
        return Scrape([reading("changed")])

    source = Source("kvm", lambda: Scrape([reading("all")]), counts, changes=changes)
    assert collect_changes([source], 0.05, wake) == []
    threading.Timer(0.1, release.set).start()
    assert names(collect([source], 5)) == ["changed", "all"]
    assert errors(counts, "kvm") == 0


def test_changes_without_end_hold_up_no_tick() -> None:
    wake = Wake()
    changing = threading.Event()

    def change() -> None:
        while not changing.wait(0.01):
            wake.change()

    thread = threading.Thread(target=change)
    thread.start()
    began, seen = time.monotonic(), 0
    for is_tick in ticks(0.3, wake):
        seen += is_tick
        if seen == 4:
            wake.stop()
    changing.set()
    thread.join()
    assert time.monotonic() - began < 3
