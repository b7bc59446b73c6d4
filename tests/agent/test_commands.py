"""Commands from a collector to the VMs and back, over a real channel that loses things."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from command_collector import Answer, Collector, command_collector
from novacron_agent.commands.service import CommandService, Situation
from novacron_agent.commands.settings import CommandsTable
from novacron_agent.providers.lifecycle import (
    Done,
    EffectUnknown,
    Elsewhere,
    FoundVm,
    Progress,
    VmNotFound,
)
from novacron_agent.readings import Reading
from novacron_contract.commands import VERBS, Order, State, Verb
from novacron_contract.errors import NovaCronError, Refused, Unavailable
from novacron_contract.metrics import VmState
from pretend_hypervisor import Hypervisor
from verb_arguments import OF_VERB

VM = "11111111-1111-4111-8111-111111111111"


def vm(number: int) -> str:
    return str(uuid.UUID(int=number, version=4))


def order(verb: Verb, vm_id: str = VM, ttl_s: float = 60, timeout_s: float = 60) -> Order:
    return Order(
        id=str(uuid.uuid4()),
        verb=verb,
        vm_id=vm_id,
        arguments=VERBS[verb].parse(OF_VERB.get(verb, {})),
        ttl_ms=int(ttl_s * 1000),
        timeout_s=timeout_s,
    )


@pytest.fixture
def collector() -> Iterator[Collector]:
    with command_collector() as collector:
        yield collector


@pytest.fixture
def hypervisor() -> Hypervisor:
    return Hypervisor(states={VM: VmState.STOPPED})


@contextmanager
def agent(
    folder: Path, collector: Collector, hypervisor: Hypervisor, **table: object
) -> Iterator[CommandService]:
    service = CommandService(wait_s=5)
    service.adopt(situation(folder, collector, hypervisor, **table))
    try:
        yield service
    finally:
        service.close()


def situation(
    folder: Path, collector: Collector, hypervisor: Hypervisor, **table: object
) -> Situation:
    return Situation(
        table=CommandsTable(**table),  # type: ignore[arg-type]
        journal=folder / "journal.sqlite",
        way=collector.way,
        lifecycle=hypervisor,
        provider="pretend",
        version="1.2.3",
    )


def wait_until(is_so: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def held(until: threading.Event) -> Callable[[Order, Progress], None]:
    def does(_order: Order, _progress: Progress) -> None:
        until.wait(30)

    return does


def figures(service: CommandService) -> dict[tuple[str | int | float, ...], float]:
    reading = Reading({}, 0)
    service.add_to(reading)
    return {
        (s.metric.name.removeprefix("novacron.agent."), *s.attributes.values()): s.value
        for s in reading.samples
    }


def trouble(service: CommandService) -> str:
    said = service.said()
    assert said is not None
    return said.trouble


def test_an_order_is_carried_out_and_its_way_is_reported(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    with agent(tmp_path, collector, hypervisor) as service:
        one = order(Verb.START)
        collector.order(one)

        end = collector.end(one.id)

        assert (end.state, end.detail) == (State.SUCCEEDED, {"changed": True})
        assert hypervisor.states[VM] is VmState.RUNNING
        assert collector.states(one.id) == [State.ACCEPTED, State.RUNNING, State.SUCCEEDED]
        again = order(Verb.START)
        collector.order(again)
        assert collector.end(again.id).detail == {"changed": False}
        [hello] = collector.hellos
        assert hello["verbs"] == sorted(Verb)
        assert (hello["provider"], hello["version"]) == ("pretend", "1.2.3")
        assert collector.instances == {hello["instance"]}
        assert figures(service)["command.ended", "start", "succeeded"] == 2
        said = service.said()
        assert said is not None
        assert (said.ended, said.trouble) == ({"succeeded": 2}, "")


def test_answers_that_are_lost_cost_nothing_and_do_nothing_twice(
    tmp_path: Path, collector: Collector
) -> None:
    chance = random.Random(3)
    collector.loses = lambda _path: chance.random() < 0.25
    orders = [order(Verb.START if n % 2 else Verb.RESET, vm(n)) for n in range(60)]
    states = {o.vm_id: VmState.STOPPED if o.verb is Verb.START else VmState.RUNNING for o in orders}
    hypervisor = Hypervisor(states=states)
    with agent(tmp_path, collector, hypervisor):
        collector.order(*orders)
        ends = collector.ends([one.id for one in orders], 60)

    assert {end.state for end in ends.values()} == {State.SUCCEEDED}
    assert set(hypervisor.effects.values()) == {1}
    assert len(hypervisor.effects) == 60


def test_a_collector_that_is_away_is_found_when_it_is_back(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    collector.otherwise = lambda _path: Answer(503, b'{"message": "starting"}')
    with agent(tmp_path, collector, hypervisor) as service:
        wait_until(lambda: "HTTP 503" in trouble(service))
        assert figures(service)["channel.errors", "poll"] >= 1
        collector.otherwise = lambda _path: None
        one = order(Verb.START)
        collector.order(one)

        assert collector.end(one.id).state is State.SUCCEEDED
        wait_until(lambda: not trouble(service))


def test_a_busy_collector_is_asked_when_it_says(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    answered: list[float] = []

    def once(path: str) -> Answer | None:
        if path.endswith("/commands") and not answered:
            answered.append(time.monotonic())
            return Answer(429, b"{}", {"Retry-After": "2"})
        return None

    collector.otherwise = once
    with agent(tmp_path, collector, hypervisor):
        collector.wait_for(lambda: bool(collector.asked))

    assert collector.asked[0] - answered[0] >= 2


def test_a_revoked_agent_says_so_and_does_not_storm(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    asked: list[str] = []

    def refused(path: str) -> Answer:
        asked.append(path)
        return Answer(403, b'{"error": "Refused", "message": "this agent was revoked"}')

    collector.otherwise = refused
    with agent(tmp_path, collector, hypervisor) as service:
        wait_until(lambda: "this agent was revoked" in trouble(service))
        time.sleep(1.5)
        assert len(asked) <= 4


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[1, 2]",
        b'{"orders": 3, "cancelled": []}',
        b'{"orders": [], "cancelled": {}}',
        b"[" * 100_000,
        b'{"orders": [' + b"1," * 700_000 + b'1], "cancelled": []}',
        b'{"orders": [null, 1, {}, {"id": "x"}], "cancelled": [null, 7, "../../etc"]}',
        b'{"orders": [{"id": "11111111-1111-4111-8111-111111111111", "verb": 1}], "cancelled": []}',
    ],
)
def test_what_is_no_answer_harms_nothing(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor, body: bytes
) -> None:
    said: list[str] = []

    def rubbish(path: str) -> Answer | None:
        if path.endswith("/commands") and len(said) < 2:
            said.append(path)
            return Answer(body=body)
        return None

    collector.otherwise = rubbish
    with agent(tmp_path, collector, hypervisor):
        one = order(Verb.START)
        collector.order(one)
        assert collector.end(one.id).state is State.SUCCEEDED
    assert len(said) == 2


def test_a_verb_of_a_newer_release_is_rejected(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    with agent(tmp_path, collector, hypervisor):
        raw = {**order(Verb.START).as_json(), "verb": "teleport"}
        collector.send(raw)

        end = collector.end(raw["id"])

    assert end.state is State.REJECTED
    assert "this agent's release does not understand it: verb" in end.error


@pytest.mark.parametrize(
    "wrong",
    [
        {"ttl_ms": 10**400},
        {"ttl_ms": -1},
        {"timeout_s": float("nan")},
        {"timeout_s": float("inf")},
        {"timeout_s": 0},
        {"expect": ["nowhere"]},
        {"arguments": {"grace_s": 3}},
    ],
)
def test_an_order_out_of_bounds_is_rejected_and_others_go_on(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor, wrong: dict[str, object]
) -> None:
    raw = {**order(Verb.START).as_json(), **wrong}
    one = order(Verb.START)
    with agent(tmp_path, collector, hypervisor):
        collector.send(raw, one.as_json())
        ends = collector.ends([raw["id"], one.id])
    assert ends[raw["id"]].state is State.REJECTED
    assert ends[one.id].state is State.SUCCEEDED


def test_commands_of_one_vm_keep_their_order_and_others_pass_them(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    go = threading.Event()
    other = vm(1)
    hypervisor.states[other] = VmState.STOPPED

    def does(one: Order, _progress: Progress) -> None:
        if one.vm_id == VM:
            go.wait(30)

    hypervisor.does = does
    orders = [order(verb) for verb in (Verb.START, Verb.SUSPEND, Verb.RESUME, Verb.STOP)]
    passing = order(Verb.START, other)
    with agent(tmp_path, collector, hypervisor):
        collector.order(*orders)
        collector.order(passing)
        assert collector.end(passing.id).state is State.SUCCEEDED
        assert hypervisor.effects[orders[1].id] == 0
        go.set()
        collector.ends([one.id for one in orders])

    of_vm = [command for on, command in hypervisor.order_of_effects if on == VM]
    assert of_vm == [one.id for one in orders]


def test_no_more_run_at_once_than_the_settings_say(tmp_path: Path, collector: Collector) -> None:
    go = threading.Event()
    hypervisor = Hypervisor(states={vm(n): VmState.STOPPED for n in range(12)}, does=held(go))
    orders = [order(Verb.START, vm(n)) for n in range(12)]
    with agent(tmp_path, collector, hypervisor, parallel=3) as service:
        collector.order(*orders)
        wait_until(lambda: figures(service)["command.active", "accepted"] == 9)
        assert figures(service)["command.active", "running"] == 3
        wait_until(lambda: len(hypervisor.effects) == 3)
        time.sleep(0.2)
        assert len(hypervisor.effects) == 3
        go.set()
        collector.ends([one.id for one in orders])
    assert set(hypervisor.effects.values()) == {1}


def test_what_waits_too_long_expires_and_what_is_cancelled_never_begins(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    go = threading.Event()
    hypervisor.does = held(go)
    first, short, unwanted = order(Verb.START), order(Verb.STOP, ttl_s=0.5), order(Verb.STOP)
    with agent(tmp_path, collector, hypervisor):
        collector.order(first)
        collector.wait_for(lambda: State.RUNNING in collector.states(first.id))
        collector.order(short, unwanted)
        assert collector.end(short.id).state is State.EXPIRED
        collector.wait_for(lambda: State.ACCEPTED in collector.states(unwanted.id))
        collector.cancel(unwanted.id)
        assert collector.end(unwanted.id).state is State.CANCELLED
        collector.cancel(first.id)
        go.set()
        assert collector.end(first.id).state is State.SUCCEEDED, "it had begun"
    assert set(hypervisor.effects) == {first.id}


def test_what_is_cancelled_before_it_was_delivered_never_begins(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    one = order(Verb.START)
    with agent(tmp_path, collector, hypervisor):
        collector.cancel(one.id)
        assert collector.end(one.id).state is State.CANCELLED
        collector.order(one)
        other = order(Verb.START)
        collector.order(other)
        collector.end(other.id)
    assert hypervisor.effects[one.id] == 0


@pytest.mark.parametrize(
    ("table", "verb", "error"),
    [
        ({"verbs": (Verb.STOP,)}, Verb.START, "does not allow start"),
        ({"verbs": ()}, Verb.START, "does not allow start"),
        ({"vms": ("db-*", vm(9))}, Verb.START, "vms in this host's agent.toml does not name"),
        ({"vms": ()}, Verb.START, "vms in this host's agent.toml does not name"),
        ({"vms": ("web-*",)}, Verb.START, ""),
        ({"vms": (VM.upper(),), "verbs": (Verb.START,)}, Verb.START, ""),
    ],
)
def test_the_host_allows_what_its_settings_name(
    tmp_path: Path,
    collector: Collector,
    hypervisor: Hypervisor,
    table: dict[str, object],
    verb: Verb,
    error: str,
) -> None:
    hypervisor.names[VM] = "web-1"
    one = order(verb)
    with agent(tmp_path, collector, hypervisor, **table):
        collector.order(one)
        end = collector.end(one.id)

    assert (end.state is State.SUCCEEDED) is (error == "")
    assert error in end.error
    assert hypervisor.effects[one.id] == (error == "")


def test_new_settings_hold_for_what_begins_from_then_on(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    go = threading.Event()
    hypervisor.does = held(go)
    first, second = order(Verb.START), order(Verb.STOP)
    with agent(tmp_path, collector, hypervisor) as service:
        collector.order(first, second)
        collector.wait_for(lambda: State.RUNNING in collector.states(first.id))
        service.adopt(situation(tmp_path, collector, hypervisor, verbs=(Verb.START,)))
        go.set()

        assert collector.end(first.id).state is State.SUCCEEDED
        assert "does not allow stop" in collector.end(second.id).error
        collector.wait_for(lambda: len(collector.hellos) == 2)
        assert collector.hellos[1]["verbs"] == ["start"]


def test_commands_are_switched_off_and_on(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    with agent(tmp_path, collector, hypervisor) as service:
        collector.wait_for(lambda: collector.polls == 1)
        service.adopt(situation(tmp_path, collector, hypervisor, enabled=False))
        one = order(Verb.START)
        collector.order(one)
        time.sleep(0.5)
        assert collector.states(one.id) == []
        assert service.said() is None
        service.adopt(situation(tmp_path, collector, hypervisor))
        assert collector.end(one.id).state is State.SUCCEEDED
    assert hypervisor.effects[one.id] == 1


def test_an_agent_that_has_not_joined_says_so_where_commands_are_wanted(tmp_path: Path) -> None:
    service = CommandService()
    here = Situation(
        table=CommandsTable(), journal=tmp_path / "journal.sqlite", way=None, lifecycle=None
    )

    service.adopt(here)
    assert service.said() is None
    service.adopt(replace(here, table=CommandsTable(enabled=True)))
    assert "has joined no collector" in trouble(service)
    assert not (tmp_path / "journal.sqlite").exists()


def test_a_vm_in_another_state_than_expected_is_left_alone(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    one = replace(order(Verb.START), expect=frozenset({VmState.CRASHED}))
    with agent(tmp_path, collector, hypervisor):
        collector.order(one)
        end = collector.end(one.id)

    assert (end.state, end.error) == (
        State.REJECTED,
        "the VM is stopped, and was expected to be crashed",
    )
    assert collector.states(one.id) == [State.ACCEPTED, State.REJECTED]


def test_an_unknown_vm_is_rejected(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    with agent(tmp_path, collector, hypervisor):
        one = order(Verb.START, vm(77))
        collector.order(one)
        end = collector.end(one.id)
    assert (end.state, end.error) == (State.REJECTED, "this host has no such VM")


def test_progress_is_there_at_once_and_not_more_often_than_people_read(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    def does(_order: Order, progress: Progress) -> None:
        for n in range(250):
            progress.tell(f"{n}", n / 250)
            time.sleep(0.01)

    hypervisor.does = does
    one = order(Verb.START)
    with agent(tmp_path, collector, hypervisor):
        collector.order(one)
        collector.end(one.id)

    told = [r for r in collector.reports.values() if r.share is not None]
    assert 2 <= len(told) <= 4
    assert told[0].text == "0"


@pytest.mark.parametrize(
    ("raises", "verb", "state"),
    [
        (EffectUnknown("nobody knows"), Verb.RESET, State.OUTCOME_UNKNOWN),
        (ValueError("a fault"), Verb.RESET, State.OUTCOME_UNKNOWN),
        (ValueError("a fault"), Verb.STOP, State.FAILED),
        (Refused("polkit says no"), Verb.RESET, State.REJECTED),
    ],
)
def test_what_a_provider_says_of_an_effect(
    tmp_path: Path, collector: Collector, raises: Exception, verb: Verb, state: State
) -> None:
    def does(_order: Order, _progress: Progress) -> None:
        raise raises

    hypervisor = Hypervisor(states={VM: VmState.RUNNING}, does=does)
    with agent(tmp_path, collector, hypervisor):
        one = order(verb)
        collector.order(one)
        end = collector.end(one.id)
    assert end.state is state
    assert str(raises) in end.error
    assert hypervisor.effects[one.id] == 1


def test_a_convergent_effect_nobody_knows_of_is_looked_at_again(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    def does(_order: Order, _progress: Progress) -> None:
        raise EffectUnknown("the connection broke")

    hypervisor.does = does
    one = order(Verb.START)
    with agent(tmp_path, collector, hypervisor):
        collector.order(one)
        end = collector.end(one.id)
    assert end.state is State.SUCCEEDED
    assert hypervisor.effects[one.id] == 1


def test_a_convergent_effect_that_is_never_answered_is_not_said_to_have_failed(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs(_self: Hypervisor, _order: Order, _progress: Progress, _until: float) -> Done:
        raise errors.pop() if len(errors) > 1 else errors[0]

    errors: list[Exception] = [
        Unavailable("an earlier call still hangs"),
        EffectUnknown("no answer in time"),
    ]
    monkeypatch.setattr(Hypervisor, "perform", hangs)
    one = order(Verb.START, timeout_s=1)
    with agent(tmp_path, collector, hypervisor):
        collector.order(one)
        end = collector.end(one.id)
    assert (end.state, end.error) == (State.OUTCOME_UNKNOWN, "an earlier call still hangs")


@pytest.mark.parametrize(
    ("verb", "gone"),
    [
        (Verb.STOP, VmNotFound("no such VM")),
        (Verb.ATTACH_NIC, VmNotFound("no such VM")),
        (Verb.DETACH_NIC, Elsewhere("it has moved")),
        (Verb.DETACH_DISK, VmNotFound("no such VM")),
        (Verb.GROW_DISK, Elsewhere("it has moved")),
    ],
)
def test_a_vm_that_is_gone_since_it_was_asked_may_have_moved(
    tmp_path: Path,
    collector: Collector,
    hypervisor: Hypervisor,
    monkeypatch: pytest.MonkeyPatch,
    verb: Verb,
    gone: NovaCronError,
) -> None:
    errors: list[Exception] = [gone, EffectUnknown("the connection broke")]

    def leaves(_self: Hypervisor, _order: Order, _progress: Progress, _until: float) -> Done:
        raise errors.pop() if len(errors) > 1 else errors[0]

    monkeypatch.setattr(Hypervisor, "perform", leaves)
    monkeypatch.setattr("novacron_agent.commands.work._AWAY_S", 0.1)
    one = order(verb)
    with agent(tmp_path, collector, hypervisor):
        collector.order(one)
        end = collector.end(one.id)
    assert end.state is State.OUTCOME_UNKNOWN


def test_a_hypervisor_that_is_restarted_is_waited_for(tmp_path: Path, collector: Collector) -> None:
    class Restarted(Hypervisor):
        __slots__ = ("asked",)

        def find(self, vm_id: str, patience_s: float) -> FoundVm:
            self.asked = getattr(self, "asked", 0) + 1
            if self.asked < 3:
                raise Unavailable("libvirtd is restarted")
            return super().find(vm_id, patience_s)

    hypervisor = Restarted(states={VM: VmState.STOPPED})
    with agent(tmp_path, collector, hypervisor):
        one = order(Verb.START)
        collector.order(one)
        assert collector.end(one.id).state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("verb", "state", "effects"),
    [(Verb.START, State.SUCCEEDED, 1), (Verb.RESET, State.OUTCOME_UNKNOWN, 1)],
)
def test_an_agent_ends_while_an_effect_hangs_and_the_next_finds_out(
    tmp_path: Path, collector: Collector, verb: Verb, state: State, effects: int
) -> None:
    hang = threading.Event()
    before = VmState.STOPPED if verb is Verb.START else VmState.RUNNING
    hypervisor = Hypervisor(states={VM: before}, does=held(hang))
    one = order(verb)
    with agent(tmp_path, collector, hypervisor) as service:
        collector.order(one)
        collector.wait_for(lambda: State.RUNNING in collector.states(one.id))
        wait_until(lambda: hypervisor.effects[one.id] == 1)
        began = time.monotonic()
        service.stop()
        service.close()
        assert time.monotonic() - began < 3
    with agent(tmp_path, collector, hypervisor):
        assert collector.end(one.id).state is state
        hang.set()
    assert hypervisor.effects[one.id] == effects
    assert len(collector.instances) == 1, "it is the same journal"


def test_a_short_effect_is_waited_for_at_the_end(
    tmp_path: Path, collector: Collector, hypervisor: Hypervisor
) -> None:
    go = threading.Event()
    hypervisor.does = held(go)
    one = order(Verb.START)
    with agent(tmp_path, collector, hypervisor) as service:
        collector.order(one)
        collector.wait_for(lambda: State.RUNNING in collector.states(one.id))
        threading.Timer(0.5, go.set).start()
        service.stop()
    assert collector.end(one.id, 1).state is State.SUCCEEDED


def test_an_outcome_the_disk_does_not_take_is_told_when_it_does(
    tmp_path: Path,
    collector: Collector,
    hypervisor: Hypervisor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go = threading.Event()
    hypervisor.does = held(go)
    one = order(Verb.RESET)
    hypervisor.states[VM] = VmState.RUNNING
    with agent(tmp_path, collector, hypervisor) as service:
        collector.order(one)
        collector.wait_for(lambda: State.RUNNING in collector.states(one.id))
        assert service._running is not None
        file = service._running._journal.file
        whole = file.change

        @contextmanager
        def full() -> Iterator[object]:
            if not go.is_set():
                yield None
            raise Unavailable("the disk is full")

        monkeypatch.setattr(file, "change", full)
        go.set()
        wait_until(lambda: "the disk is full" in trouble(service))
        assert State.SUCCEEDED not in collector.states(one.id)
        monkeypatch.setattr(file, "change", whole)
        assert collector.end(one.id).state is State.SUCCEEDED
    assert hypervisor.effects[one.id] == 1


def test_from_the_order_to_the_effect_it_takes_a_moment(
    tmp_path: Path, collector: Collector
) -> None:
    """On an idle agent; a test's bound is wide, the benchmark's is not."""
    hypervisor = Hypervisor(states={vm(n): VmState.STOPPED for n in range(10)})
    took = []
    began: list[float] = []
    hypervisor.does = lambda _order, _progress: began.append(time.monotonic())
    with agent(tmp_path, collector, hypervisor):
        collector.wait_for(lambda: collector.polls == 1)
        for n in range(10):
            one, at = order(Verb.START, vm(n)), time.monotonic()
            collector.order(one)
            collector.end(one.id)
            took.append(began[-1] - at)
    assert sorted(took)[5] < 0.5
