"""Commands for VMs that are not there: to be made, or deleted already."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from novacron_agent.commands.settings import CommandsTable
from novacron_agent.providers.lifecycle import Done as Effected
from novacron_agent.providers.lifecycle import EffectUnknown, Elsewhere, FoundVm, Progress
from novacron_contract.commands import VERBS, Order, Report, State, Verb
from novacron_contract.errors import Unavailable
from novacron_contract.metrics import VmState
from pretend_hypervisor import Hypervisor, Killed, MortalAgent, SetClock, final

VM = "11111111-1111-4111-8111-111111111111"
Done = Callable[..., Report]


def order(verb: Verb, name: str = "web-9") -> Order:
    spec: dict[str, object] = {}
    if verb is Verb.CREATE:
        spec = {"spec": {"name": name, "memory_mib": 64}}
    elif verb is Verb.RENAME:
        spec = {"new_name": name}
    return Order(
        id=str(uuid.uuid4()),
        verb=verb,
        vm_id=VM,
        arguments=VERBS[verb].parse(spec),
        ttl_ms=60_000,
        timeout_s=60.0,
    )


@pytest.fixture
def hypervisor() -> Hypervisor:
    return Hypervisor()


@pytest.fixture
def carry_out(tmp_path: Path, hypervisor: Hypervisor) -> Done:
    """Take an order, in an agent's life of so many points and then in a whole one; how it ended."""

    def carry_out(one: Order, table: CommandsTable, points: float = float("inf")) -> Report:
        clock, path = SetClock(), tmp_path / "journal.sqlite"
        for life in (points, float("inf")):
            hypervisor.life.points = life
            agent = MortalAgent(path, hypervisor, clock, table)
            try:
                agent.executor.restore()
                agent.executor.take([one], clock.since_boot())
                return final(agent.told())[one.id]
            except Killed:
                hypervisor.life.points = float("inf")
            finally:
                agent.die()
        raise AssertionError("it has no end")

    return carry_out


def test_a_vm_is_made_where_its_name_is_allowed(carry_out: Done, hypervisor: Hypervisor) -> None:
    table = CommandsTable(vms=("web-*",))

    refused = carry_out(order(Verb.CREATE, "db-1"), table)
    assert (refused.state, hypervisor.states) == (State.REJECTED, {})
    assert "does not name this VM" in refused.error
    assert carry_out(order(Verb.CREATE, "web-1"), table).state is State.SUCCEEDED
    assert VM in hypervisor.states


def test_a_vm_is_given_a_name_that_is_allowed(carry_out: Done, hypervisor: Hypervisor) -> None:
    """Under another one nobody could command it any more."""
    table = CommandsTable(vms=("web-*",))
    hypervisor.states[VM], hypervisor.names[VM] = VmState.RUNNING, "web-1"

    refused = carry_out(order(Verb.RENAME, "db-1"), table)
    assert (refused.state, "allows no such name" in refused.error) == (State.REJECTED, True)
    assert carry_out(order(Verb.RENAME, "web-2"), table).state is State.SUCCEEDED


@pytest.mark.parametrize("vms", [None, (VM,), ("*",)])
def test_what_nothing_is_left_of_is_not_there(carry_out: Done, vms: tuple[str, ...] | None) -> None:
    refused = carry_out(order(Verb.DELETE), CommandsTable(vms=vms))
    assert (refused.state, refused.error) == (State.REJECTED, "this host has no such VM")


def test_a_vm_whose_name_nobody_knows_is_none_that_is_allowed(carry_out: Done) -> None:
    refused = carry_out(order(Verb.DELETE), CommandsTable(vms=("web-*",)))
    assert "does not name this VM" in refused.error


def test_a_vm_that_is_gone_after_a_crash_was_deleted(
    carry_out: Done, hypervisor: Hypervisor
) -> None:
    ends = set()
    for points in range(1, 30):
        hypervisor.states[VM] = VmState.STOPPED
        end = carry_out(order(Verb.DELETE), CommandsTable(), points)
        assert (end.state, VM in hypervisor.states) == (State.SUCCEEDED, False)
        ends.add(end.detail["changed"])
    assert ends == {True, None}


def test_a_create_of_which_nobody_knows_has_not_succeeded_because_it_came_far(
    carry_out: Done, hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novacron_agent.commands.work._UNKNOWN_S", 0.1)

    def be_lost(_order: Order, progress: Progress) -> None:
        progress.witness("it is defined")
        del hypervisor.states[VM]
        raise EffectUnknown("has it moved?")

    hypervisor.does = be_lost
    end = carry_out(order(Verb.CREATE), CommandsTable())
    assert (end.state, end.error) == (State.OUTCOME_UNKNOWN, "has it moved?")


def test_what_an_agent_saw_before_it_was_killed_the_next_one_knows(
    carry_out: Done, hypervisor: Hypervisor
) -> None:
    known = []

    def be_killed_once(_order: Order, progress: Progress) -> None:
        known.append(progress.evidence)
        progress.witness("it is defined")
        del hypervisor.states[VM]
        hypervisor.does = lambda _order, progress: known.append(progress.evidence)
        raise Killed

    hypervisor.does = be_killed_once
    assert carry_out(order(Verb.CREATE), CommandsTable()).state is State.SUCCEEDED
    assert known == ["", "it is defined"]


def test_a_hypervisor_that_goes_away_after_a_long_while_is_asked_again(
    carry_out: Done, hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novacron_agent.commands.work._AWAY_S", 0.2)

    def be_away(_order: Order, _progress: Progress) -> None:
        time.sleep(0.3)
        raise Unavailable("it is restarted")

    hypervisor.does = be_away
    assert carry_out(order(Verb.CREATE), CommandsTable()).state is State.SUCCEEDED


@pytest.mark.parametrize("verb", [Verb.START, Verb.STOP, Verb.RESET])
def test_other_verbs_need_their_vm(carry_out: Done, verb: Verb) -> None:
    assert carry_out(order(verb), CommandsTable()).state is State.REJECTED


def test_a_vm_that_is_being_started_is_waited_for(
    carry_out: Done, hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt says of it what it says of one that comes from another host."""
    hypervisor.states[VM] = VmState.RUNNING
    looks, find = [Elsewhere("it moves")], Hypervisor.find

    def find_late(of: Hypervisor, vm_id: str, patience_s: float) -> FoundVm:
        if looks:
            raise looks.pop()
        return find(of, vm_id, patience_s)

    monkeypatch.setattr(Hypervisor, "find", find_late)
    assert carry_out(order(Verb.DELETE), CommandsTable()).state is State.SUCCEEDED


def test_a_vm_that_moves_is_not_commanded_here(
    carry_out: Done, hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(_of: Hypervisor, _vm_id: str, _patience_s: float) -> FoundVm:
        raise Elsewhere("the VM moves to another host, or has moved")

    monkeypatch.setattr(Hypervisor, "find", find)
    monkeypatch.setattr("novacron_agent.commands.work._AWAY_S", 0.1)
    end = carry_out(order(Verb.DELETE), CommandsTable())
    assert end.state is State.REJECTED
    assert "moves to another host" in end.error


@pytest.mark.parametrize(("times", "state"), [(1, State.SUCCEEDED), (9, State.OUTCOME_UNKNOWN)])
def test_a_vm_that_seems_to_move_after_a_crash_is_looked_at_again(
    carry_out: Done,
    hypervisor: Hypervisor,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    state: State,
) -> None:
    monkeypatch.setattr("novacron_agent.commands.work._UNKNOWN_S", 1.5)
    errors: list[Exception] = [Elsewhere("it moves")] * times
    perform = Hypervisor.perform

    def look(of: Hypervisor, asked: Order, progress: Progress, until: float) -> Effected:
        if of.effects[asked.id] and errors:
            raise errors.pop()
        return perform(of, asked, progress, until)

    def be_killed_once(_order: Order, _progress: Progress) -> None:
        hypervisor.does = lambda _order, _progress: None
        raise Killed

    monkeypatch.setattr(Hypervisor, "perform", look)
    hypervisor.states[VM], hypervisor.does = VmState.STOPPED, be_killed_once
    assert carry_out(order(Verb.START), CommandsTable()).state is state
