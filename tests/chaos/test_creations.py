"""The judge of VMs that are made and removed: each way of being wrong is found and named."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from chaos.creations import Census, Defined, misfits
from chaos.effects import Told
from novacron_contract.commands import State, Verb

VM, OTHER = (f"{n}1111111-1111-4111-8111-111111111111" for n in (1, 2))
DISK, SEED = (("default", f"novacron-{VM}-{of}") for of in ("disk0.qcow2", "seed.img"))
BOTH = frozenset({DISK, SEED})
WHOLE = Defined(VM, "a", "c1", is_active=True, owned=BOTH)
STAYS = "it was being defined, and is not here: … Its volumes stay"
NOTHING = Census()
ALL = Census((WHOLE,), {"a": BOTH})


def create(state: State = State.SUCCEEDED, error: str = "") -> Told:
    return Told("c1", VM, Verb.CREATE, state, error=error)


def delete(state: State = State.SUCCEEDED, error: str = "") -> Told:
    return Told("d1", VM, Verb.DELETE, state, error=error)


def found(told: list[Told], census: Census) -> tuple[list[str], list[str]]:
    """What nobody says, and what a command says itself."""
    every = list(misfits(told, {VM: 2}, census))
    unsaid = [one.text for one in every if not one.said]
    return unsaid, [one.text for one in every if one.said]


@pytest.mark.parametrize(
    ("told", "census"),
    [
        ([create()], ALL),
        ([create(), delete()], NOTHING),
        ([create(), delete(State.REJECTED), delete(State.EXPIRED)], ALL),
        ([create(), delete(), delete(State.REJECTED)], NOTHING),
        ([create(State.FAILED, "no room")], NOTHING),
        ([create(State.OUTCOME_UNKNOWN)], NOTHING),
        ([create(State.EXPIRED)], NOTHING),
    ],
)
def test_what_is_as_it_was_told_is_found_so(told: list[Told], census: Census) -> None:
    assert found(told, census) == ([], [])


@pytest.mark.parametrize(
    ("told", "census", "says"),
    [
        ([create(State.RUNNING)], NOTHING, "no end"),
        ([create(), delete(State.OUTCOME_UNKNOWN)], ALL, "unknown, and it converges"),
        ([create()], NOTHING, "made, and not there"),
        ([create(), delete(State.FAILED, "the power")], NOTHING, "made, and not there"),
        ([create()], Census((WHOLE, replace(WHOLE, host="b")), {"a": BOTH, "b": BOTH}),
         "there more than once"),
        ([create(), delete()], ALL, "deleted, and there"),
        ([create(State.FAILED, "no room")], ALL, "not made, and there"),
        ([create(State.EXPIRED, "Its volumes stay")], ALL, "not made, and there"),
        ([create()], Census((WHOLE,), {"a": frozenset({DISK})}), "half made: .* has no volume"),
        ([create()], Census((WHOLE,), {"b": BOTH, "a": frozenset({DISK})}), "has no volume"),
        ([create()], Census((replace(WHOLE, owned=frozenset({DISK})),), {"a": BOTH}),
         "half made: .* 1 volumes in place of 2"),
        ([create()], Census((replace(WHOLE, is_active=False),), {"a": BOTH}), "does not run"),
        ([create()], Census((replace(WHOLE, command="c9"),), {"a": BOTH}), "made by c9"),
        ([create(), delete()], Census((), {"a": frozenset({SEED})}), "a volume of no VM"),
        ([create(State.FAILED, "no room")], Census((), {"b": frozenset({SEED})}),
         "a volume of no VM: b: default/novacron"),
        ([], Census((replace(WHOLE, vm=OTHER),), {}), "nobody ordered it"),
        ([], Census((), {"a": frozenset({DISK})}), f"nobody ordered it: {VM}"),
        ([], Census((), {"a": frozenset({("default", "novacron-x")})}), "it: novacron-x"),
    ],
)  # fmt: skip
def test_what_is_otherwise_is_named(told: list[Told], census: Census, says: str) -> None:
    ([one], said) = found(told, census)
    assert said == []
    assert re.search(says, one), one


@pytest.mark.parametrize(
    ("told", "census", "text"),
    [
        ([create(State.OUTCOME_UNKNOWN, STAYS)], Census((), {"a": frozenset({DISK})}), "of no VM"),
        ([create(State.FAILED, "what was made of it stays: it runs")], ALL, "not made, and there"),
        ([create(), delete(State.FAILED, "x (what went before it is gone)")],
         Census((WHOLE,), {"a": frozenset({DISK})}), "has no volume"),
    ],
)  # fmt: skip
def test_what_a_command_says_it_left_is_told_apart(
    told: list[Told], census: Census, text: str
) -> None:
    (unsaid, [one]) = found(told, census)
    assert unsaid == []
    assert text in one
