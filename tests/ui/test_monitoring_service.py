"""How well machines are measured, from a real store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from agent_samples import ANSWERS, HANGS, MIB, MeasuredHost, answers, gap, measured_host
from noon import NOON
from novacron_store.state import Agents, Host, Vm
from novacron_store.telemetry.client import per_thread
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from novacron_ui.query.drawing import Range
from novacron_ui.query.monitoring import Monitoring
from store.batches import Line, batch
from ui_world import World

AT = datetime.fromtimestamp(NOON + 50 * 60, UTC)


@pytest.fixture
def monitoring(world: World) -> Monitoring:
    return Monitoring(world.inventory, Agents(world.state), per_thread(world.client))


@pytest.fixture
def host(world: World) -> MeasuredHost:
    return stored(world)


def stored(world: World, **how: Any) -> MeasuredHost:
    client = world.client()
    made = measured_host(client, world.inventory, Agents(world.state), **how)
    client.close()
    return made


def store(world: World, *lines: Line) -> None:
    client = world.client()
    write(client, batch(lines), token=str(lines))
    client.close()


def guest(world: World, host: MeasuredHost, minutes: Iterable[int], seen: int = 0) -> str:
    """One that did not answer so many minutes ago, and was `seen` so many minutes ago."""
    vm, at = str(uuid4()), host.ago(seen)
    world.inventory.see_vms([Vm(vm, "guest", host.id, at, at)])
    store(world, answers(vm, [(host.ago(minute).timestamp(), HANGS) for minute in minutes]))
    return vm


def last(host: MeasuredHost, minutes: float, until: float = 0) -> Range:
    return Range(host.ago(minutes), host.ago(until), 600)


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def test_an_agent_tells_what_it_takes_and_how_measuring_and_sending_go(
    monitoring: Monitoring, host: MeasuredHost
) -> None:
    told = monitoring.of_host(host.id, last(host, 60), host.now)

    assert told["agent"]["entity"] == host.entity
    assert (told["agent"]["version"], told["agent"]["interval"]) == ("0.1.0", 10)
    newest = {
        (metric, *of.values()): (value, rate) for metric, of, _, value, rate in told["figures"]
    }
    assert newest["process.memory.usage",] == (64 * MIB, None)
    assert newest["process.cpu.time", "user"][1] == pytest.approx(0.02)
    assert newest["novacron.agent.scrape.duration", "kvm"] == (0.25, None)
    assert newest["novacron.agent.scrape.errors", "kvm"] == (7, 0)
    assert newest["novacron.agent.export.points", "collector"][1] == pytest.approx(150)


def test_guests_that_do_not_answer_are_named_with_the_time_they_stopped(
    monitoring: Monitoring, host: MeasuredHost
) -> None:
    silent = monitoring.of_host(host.id, last(host, 60), host.now)["silent"]
    assert silent == [{"id": host.hung, "name": "hung-1", "since": ms(host.ago(5))}]

    (own,) = monitoring.of_vm(host.hung, last(host, 60), host.now)["silent"]
    assert own["since"] == ms(host.ago(5))
    assert monitoring.of_vm(host.well, last(host, 60), host.now)["silent"] == []


def test_a_guest_that_answers_again_or_ended_is_not_silent(
    world: World, monitoring: Monitoring, host: MeasuredHost
) -> None:
    ended = guest(world, host, range(5, 10), seen=5)
    assert monitoring.of_vm(ended, last(host, 60), host.now)["silent"] == []
    (hung,) = monitoring.of_host(host.id, last(host, 60), host.now)["silent"]
    assert hung["id"] == host.hung
    store(world, answers(host.hung, [(host.now.timestamp(), ANSWERS)]))
    assert monitoring.of_host(host.id, last(host, 60), host.now)["silent"] == []


def test_a_guest_of_which_that_is_told_more_rarely_stays_silent_in_between(
    world: World, monitoring: Monitoring, host: MeasuredHost
) -> None:
    rarely = guest(world, host, (4, 9, 14))

    (own,) = monitoring.of_vm(rarely, last(host, 60), host.now)["silent"]

    assert own["since"] == ms(host.ago(14))


def test_a_silence_of_more_than_a_day_has_no_beginning(
    world: World, monitoring: Monitoring, host: MeasuredHost
) -> None:
    hung = guest(world, host, range(25 * 60))

    (own,) = monitoring.of_vm(hung, last(host, 60), host.now)["silent"]

    assert own["since"] is None


def test_what_an_agent_lost_is_a_span_with_its_reason(
    monitoring: Monitoring, host: MeasuredHost
) -> None:
    lost = {"start": ms(host.ago(30)), "end": ms(host.ago(20)), "why": "spool full", "points": 4800}
    for told in (
        monitoring.of_host(host.id, last(host, 60), host.now),
        monitoring.of_host(host.id, last(host, 60, until=25), host.now),  # it ends later
        monitoring.of_vm(host.well, last(host, 60), host.now),
    ):
        assert told["gaps"] == [lost]
        assert told["moreGaps"] == 0
    assert monitoring.of_host(host.id, last(host, 10), host.now)["gaps"] == []
    assert monitoring.of_host(host.id, last(host, 90, until=40), host.now)["gaps"] == []


def test_a_guest_lacks_what_was_lost_while_it_was_on_the_host(
    world: World, monitoring: Monitoring, host: MeasuredHost
) -> None:
    other, vm = stored(world), str(uuid4())
    moved = host.ago(26)
    world.inventory.see_vms([Vm(vm, "m", other.id, host.ago(60), host.ago(60))])
    world.inventory.see_vms([Vm(vm, "m", host.id, moved, moved)])
    store(world, *gap(other, 28, 22, 60))

    lost = monitoring.of_vm(vm, last(host, 60), host.now)["gaps"]

    spans = [(each["start"], each["end"]) for each in lost]
    assert spans == [
        (ms(other.ago(30)), ms(moved)),
        (ms(other.ago(28)), ms(moved)),
        (ms(moved), ms(host.ago(20))),
    ]


def test_what_was_lost_has_its_own_times_wherever_the_range_begins(
    monitoring: Monitoring, host: MeasuredHost
) -> None:
    (whole,) = monitoring.of_vm(host.well, last(host, 25), host.now)["gaps"]
    assert (whole["start"], whole["end"]) == (ms(host.ago(30)), ms(host.ago(20)))


def test_what_was_lost_is_told_once_of_a_guest_that_was_renamed_meanwhile(
    world: World, monitoring: Monitoring, host: MeasuredHost
) -> None:
    vm = str(uuid4())
    for name, minute in (("old", 60), ("new", 26), ("newest", 25)):
        moment = host.ago(minute)
        world.inventory.see_vms([Vm(vm, name, host.id, moment, moment)])

    (once,) = monitoring.of_vm(vm, last(host, 60), host.now)["gaps"]

    assert (once["start"], once["end"]) == (ms(host.ago(30)), ms(host.ago(20)))


def test_of_a_range_longer_than_samples_are_kept_it_is_told_since_when_losses_are_known(
    world: World, monitoring: Monitoring
) -> None:
    host, day = stored(world, now=AT), 24 * 60
    for days, since in ((8, ms(host.ago(7 * day - 10))), (6.9, None)):
        told = monitoring.of_host(host.id, last(host, days * day), host.now)
        assert told["gapsSince"] == since


def test_closed_hours_tell_the_same(world: World, monitoring: Monitoring) -> None:
    host = stored(world, now=AT)
    client = world.client()
    before = monitoring.of_host(host.id, last(host, 60), host.now)
    Roller(client).run(AT + timedelta(hours=2))
    client.close()

    after = Monitoring(world.inventory, Agents(world.state), monitoring.telemetry)

    assert before["gaps"]
    assert before["silent"]
    assert after.of_host(host.id, last(host, 60), host.now) == before


def test_a_host_without_an_agent_has_nothing_to_tell(
    world: World, monitoring: Monitoring, host: MeasuredHost
) -> None:
    world.inventory.see_hosts([Host("plain", "plain", host.now, host.now)])
    nothing = {"silent": [], "moreSilent": 0, "figures": []}
    nothing |= {"gaps": [], "moreGaps": 0, "gapsSince": None}
    for told in (
        monitoring.of_host("plain", last(host, 60), host.now),
        monitoring.of_vm("nobody", last(host, 60), host.now),
    ):
        assert told == {"agent": None, **nothing}


def test_an_agent_may_tell_nothing_of_itself(world: World, monitoring: Monitoring) -> None:
    host = stored(world, tells=False)
    told = monitoring.of_host(host.id, last(host, 60), host.now)
    assert told["agent"]["entity"] == host.entity
    assert (told["figures"], told["gaps"]) == ([], [])
