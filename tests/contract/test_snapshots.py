"""What snapshots may be called, and what is confirmed."""

from __future__ import annotations

import pytest

from novacron_contract.commands import VERBS, Effect, Verb
from novacron_contract.errors import BadMessage

NEW, OLD = VERBS[Verb.SNAPSHOT], VERBS[Verb.REVERT]


@pytest.mark.parametrize("name", ["", "before 2.0", "a", "2026-12-01 10:00", "Zoë_1", "123456789"])
def test_names_that_are_taken(name: str) -> None:
    assert NEW.parse({"snapshot": name})["snapshot"] == name


@pytest.mark.parametrize(
    "name", ["1", "99999999", "a/b", "../a", ".a", "-a", " a", "a ", "a\n", "a\\", "'", '"', "a%s",
             "a;b", "\u202ea", "x" * 129, "ü" * 65, "a\0", "\ud800", 7, None],
)  # fmt: skip
def test_names_that_are_not(name: object) -> None:
    """QEMU takes a small number for an id; what libvirt quotes may be called otherwise then."""
    with pytest.raises(BadMessage, match="arguments: snapshot: expected"):
        NEW.parse({"snapshot": name})


@pytest.mark.parametrize("name", ["made by hand: $(x)", "-a", ".a", "1795461547"])
def test_those_that_are_there_are_called_as_they_are(name: str) -> None:
    assert OLD.parse({"snapshot": name})["snapshot"] == name


@pytest.mark.parametrize("name", ["", "a/b", "1", "a\x1b[2J", "x" * 256])
@pytest.mark.parametrize("verb", [Verb.REVERT, Verb.DELETE_SNAPSHOT])
def test_nothing_is_gone_back_to_or_removed_without_a_name(verb: Verb, name: str) -> None:
    with pytest.raises(BadMessage, match="arguments: snapshot: expected the name of a snapshot"):
        VERBS[verb].parse({"snapshot": name})
    with pytest.raises(BadMessage):
        VERBS[verb].parse({})


def test_what_loses_something_is_confirmed() -> None:
    hard = {verb for verb in Verb if VERBS[verb].destructive}
    assert {Verb.REVERT, Verb.DELETE_SNAPSHOT} <= hard
    assert hard.isdisjoint({Verb.SNAPSHOT, Verb.SNAPSHOTS})


def test_a_snapshot_is_known_again_and_going_back_is_not() -> None:
    assert NEW.effect is Effect.PROBEABLE
    assert OLD.effect is Effect.OPAQUE
