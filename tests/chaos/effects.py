"""Commands as NovaCron has them on record, held against what happened to the guests.

Guests know nothing of commands, so the two are aligned: of each guest, the effects in the order in
which they came must be those of its commands in their order. Where a record leaves open whether
there was an effect, both are followed up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hypervisors import Happened
from novacron_contract.commands import VERBS, Effect, State, Verb

_BECOMES = {
    Verb.START: "running",
    Verb.RESUME: "running",
    Verb.SUSPEND: "paused",
    Verb.STOP: "off",
}
_CALLS = {"Reset": Verb.RESET, "Reboot": Verb.REBOOT}
_MAYBE = frozenset({State.FAILED, State.OUTCOME_UNKNOWN})


@dataclass(frozen=True, slots=True)
class Told:
    """A command's end as it is on record. `changed`: None where the record leaves it open."""

    id: str
    vm: str
    verb: Verb
    state: State
    changed: bool | None = None
    error: str = ""

    @property
    def is_opaque(self) -> bool:
        return VERBS[self.verb].effect is Effect.OPAQUE

    def __str__(self) -> str:
        changed = "" if self.changed is None else f", changed: {self.changed}"
        return f"{self.verb} {self.id} of {self.vm}: {self.state}{changed} {self.error}".strip()


_Numbers = Callable[[Told, Sequence[Verb]], set[int]]


def violations(
    told: Sequence[Told], events: Iterable[Happened], calls: Iterable[Happened]
) -> Iterator[str]:
    """Of commands, each guest's in their order. `calls`: what libvirtd was asked for, as nothing
    else shows effects of opaque verbs."""
    for one in told:
        if not one.state.is_final:
            yield f"no end: {one}"
        elif one.state is State.OUTCOME_UNKNOWN and not one.is_opaque:
            yield f"unknown, and it converges: {one}"
    lives, asked = effects(events), _asked(calls)
    for vm, commands in _by_vm(told).items():
        converging = [one for one in commands if not one.is_opaque]
        yield from _aligned(vm, converging, lives.get(vm, []), _number)
        opaque = [one for one in commands if one.is_opaque]
        yield from _aligned(vm, opaque, asked.get(vm, []), _number_opaque)


def effects(events: Iterable[Happened]) -> dict[str, list[Verb]]:
    """Of each guest in their order. A QEMU that starts tells of its CPUs' start, too."""
    found: defaultdict[str, list[Verb]] = defaultdict(list)
    for event in events:
        verb = Verb(event.kind)
        state = _state(found[event.vm])
        if verb is not Verb.RESUME or state == "paused":
            found[event.vm].append(verb)
    return dict(found)


def _asked(calls: Iterable[Happened]) -> dict[str, list[Verb]]:
    found: defaultdict[str, list[Verb]] = defaultdict(list)
    for call in calls:
        if call.kind in _CALLS:
            found[call.vm].append(_CALLS[call.kind])
    return dict(found)


def _by_vm(told: Iterable[Told]) -> Mapping[str, list[Told]]:
    found: defaultdict[str, list[Told]] = defaultdict(list)
    for one in told:
        found[one.vm].append(one)
    return found


def _aligned(
    vm: str, commands: Sequence[Told], happened: Sequence[Verb], numbers: _Numbers
) -> Iterator[str]:
    """`places`: how many of the effects may be accounted for by the commands so far."""
    places = {0}
    for one in commands:
        after = {
            place + number
            for place in places
            for number in numbers(one, happened[:place])
            if happened[place : place + number] == [one.verb] * number
        }
        if not after:
            shown = ", ".join(f"{verb}" for verb in happened[max(places) :][:3]) or "nothing"
            yield f"not what happened: {one}; next came {shown}"
            return
        places = after
    if len(happened) not in places:
        yield f"{vm}: effects that no command had: {happened[max(places) :]}"


def _number(one: Told, before: Sequence[Verb]) -> set[int]:
    """How many effects it may have had."""
    if one.state in _MAYBE:
        return {0, 1}
    if one.state is not State.SUCCEEDED:
        return {0}
    number = int(not _is_as_ordered(one.verb, _state(before)))
    return {number} if one.changed in (None, bool(number)) else set()


def _number_opaque(one: Told, _before: Sequence[Verb]) -> set[int]:
    if one.state in _MAYBE:
        return {0, 1}
    return {int(one.state is State.SUCCEEDED)}


def _state(effects_before: Sequence[Verb]) -> str:
    return _BECOMES[effects_before[-1]] if effects_before else "off"


def _is_as_ordered(verb: Verb, state: str) -> bool:
    """To start is to have it not off: one that is suspended stays so."""
    return state != "off" if verb is Verb.START else state == _BECOMES[verb]
