"""The judge of commands can find for and against: each way of being wrong is found and named."""

from __future__ import annotations

import itertools

import pytest

from chaos.effects import Told, violations
from hypervisors import Happened
from novacron_contract.commands import State, Verb

VM = "vm-1"
_IDS = itertools.count()


def told(verb: Verb, state: State = State.SUCCEEDED, *, changed: bool | None = None) -> Told:
    return Told(f"c{next(_IDS)}", VM, verb, state, changed)


def did(verb: Verb, *, changed: bool = True) -> Told:
    return told(verb, changed=changed)


def found(commands: list[Told], events: str = "", calls: str = "") -> list[str]:
    return list(
        violations(
            commands,
            [Happened(VM, kind, 0) for kind in events.split()],
            [Happened(VM, kind, 0) for kind in calls.split()],
        )
    )


@pytest.mark.parametrize(
    ("commands", "events", "calls"),
    [
        ([did(Verb.START), did(Verb.STOP)], "start stop", ""),
        ([did(Verb.START)], "resume start", ""),  # QEMU tells of its CPUs, too
        ([did(Verb.START), did(Verb.START, changed=False)], "start", ""),
        ([did(Verb.STOP, changed=False), told(Verb.RESUME, State.REJECTED)], "", ""),
        ([told(Verb.START), did(Verb.SUSPEND), did(Verb.RESUME)], "start suspend resume", ""),
        ([told(Verb.START, State.FAILED), told(Verb.START, State.EXPIRED)], "", ""),
        ([told(Verb.START, State.FAILED), told(Verb.START)], "start", ""),
        ([told(Verb.RESET, State.OUTCOME_UNKNOWN), told(Verb.RESET)], "", "Create Reset"),
        ([told(Verb.RESET, State.OUTCOME_UNKNOWN), told(Verb.RESET)], "", "Reset Reset"),
        ([did(Verb.REBOOT), did(Verb.RESET)], "", "Reboot Reset"),
    ],
)
def test_what_is_as_it_was_told_is_found_so(commands: list[Told], events: str, calls: str) -> None:
    assert found(commands, events, calls) == []


@pytest.mark.parametrize(
    ("commands", "events", "calls", "said"),
    [
        ([told(Verb.START, State.RUNNING)], "", "", "no end"),
        ([told(Verb.START, State.OUTCOME_UNKNOWN)], "start", "", "unknown, and it converges"),
        ([did(Verb.START)], "", "", "next came nothing"),
        ([did(Verb.START)], "start stop", "", "effects that no command had"),
        ([did(Verb.START)], "start stop start", "", "effects that no command had"),
        ([did(Verb.START, changed=False)], "start", "", "not what happened"),
        ([told(Verb.START, State.EXPIRED)], "start", "", "effects that no command had"),
        ([told(Verb.START, State.CANCELLED)], "start", "", "effects that no command had"),
        ([told(Verb.START, State.REJECTED)], "start", "", "effects that no command had"),
        ([did(Verb.START), did(Verb.STOP)], "stop start", "", "not what happened"),
        ([did(Verb.RESET)], "", "", "next came nothing"),
        ([did(Verb.RESET)], "", "Reset Reset", "effects that no command had"),
        ([told(Verb.RESET, State.OUTCOME_UNKNOWN)], "", "Reset Reset", "effects that no"),
    ],
)
def test_what_is_otherwise_is_named(
    commands: list[Told], events: str, calls: str, said: str
) -> None:
    [one] = found(commands, events, calls)
    assert said in one
