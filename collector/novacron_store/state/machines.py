"""Hosts and VMs as somebody saw them, and what of it is believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

SEEN_AGAIN = timedelta(seconds=30)  # after a deletion: what was measured before may come later
_A_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Host:
    """`agent_id` is found by the agent's own report; empty: none reports this host. `reported_by`:
    the identity of the agent whose word this is; None: anybody's."""

    id: str
    name: str
    first_seen: datetime
    last_seen: datetime
    arch: str = ""
    os: str = ""
    resource: dict[str, str] = field(default_factory=dict)
    agent_id: str = ""
    reported_by: str | None = None


@dataclass(frozen=True, slots=True)
class Vm:
    """`host_id` is the hypervisor it was last seen on. `reported_by`: as of a host. `deleted`: when
    we deleted it; who is seen later than that is there again."""

    id: str
    name: str
    host_id: str
    first_seen: datetime
    last_seen: datetime
    provider: str = ""
    resource: dict[str, str] = field(default_factory=dict)
    reported_by: str | None = None
    deleted: datetime | None = None


@dataclass(frozen=True, slots=True)
class VmPeriod:
    """A VM had this name on this host from `since` to `until`; None: it still has."""

    since: datetime
    until: datetime | None
    name: str
    host_id: str


class Seen(NamedTuple):
    """Ids of those that are now as they were seen, and not as somebody saw them later; of those
    that stay as an agent with an identity told, which is something else."""

    current: set[str]
    disputed: set[str]


class Touch(NamedTuple):
    """A time to move from, one to move to, and by whose word: None, anybody's."""

    old: datetime
    new: datetime
    by: str | None = None


Machine = TypeVar("Machine", Host, Vm)


def newest_first(seen: Iterable[Machine]) -> list[Machine]:
    """One per id, the newest, an agent's word before others', in the order of ids: two writers then
    never lock crosswise."""
    newest: dict[str, Machine] = {}
    for machine in seen:
        other = newest.get(machine.id)
        if other is None:
            newest[machine.id] = machine
            continue
        first, last = sorted((machine, other), key=_weight)
        earliest = last.first_seen
        if (first.reported_by is None) == (last.reported_by is None):
            earliest = min(first.first_seen, earliest)
        newest[machine.id] = replace(last, first_seen=earliest)
    return [newest[key] for key in sorted(newest)]


def _weight(machine: Host | Vm) -> tuple[bool, datetime]:
    return machine.reported_by is not None, machine.last_seen


def believe(
    known: Mapping[str, Machine], seen: Iterable[Machine], disputed: set[str]
) -> list[Machine]:
    """What may be written. An agent's word comes after what was nobody's, whatever the times say:
    who has no identity could otherwise keep it out with later ones."""
    believed = []
    for machine in seen:
        old = known.get(machine.id)
        if old is not None and (old.reported_by is None) != (machine.reported_by is None):
            if machine.reported_by is None:
                if _claims(machine) != _claims(old):
                    disputed.add(machine.id)
                continue
            later = max(machine.last_seen, old.last_seen + _A_MOMENT)
            machine = replace(machine, last_seen=later)
        believed.append(machine)
    return believed


def _claims(machine: Host | Vm) -> tuple[Any, ...]:
    """What scopes are decided by, and operators call it."""
    if isinstance(machine, Host):
        return (machine.name,)
    return machine.name, machine.host_id, machine.resource


def as_seen(
    known: Mapping[str, Machine], believed: Iterable[Machine], told: Iterable[Machine]
) -> set[str]:
    """Ids of those that are now as they were told."""
    times = {machine.id: machine.last_seen for machine in told}
    return {
        machine.id
        for machine in believed
        if is_news(known.get(machine.id), machine) and machine.last_seen == times[machine.id]
    }


def merge(old: Machine, new: Machine) -> Machine:
    first_seen = min(old.first_seen, new.first_seen)
    if new.last_seen <= old.last_seen:  # an outage's backlog: it says nothing of today
        return replace(old, first_seen=first_seen)
    if isinstance(old, Host) and (old.reported_by is None) == (new.reported_by is None):
        # Not every sender of a host tells everything: what is known stays known.
        new = replace(new, arch=new.arch or old.arch, os=new.os or old.os, agent_id=old.agent_id)
    elif isinstance(old, Vm) and isinstance(new, Vm) and not is_there_again(old, new):
        new = replace(new, deleted=old.deleted)
    return replace(new, first_seen=first_seen)


def has_moved(old: Vm | None, new: Vm) -> bool:
    if old is None:
        return True
    if old.deleted is not None:
        return is_there_again(old, new)
    is_newer = new.last_seen > old.last_seen
    return is_newer and (old.name, old.host_id) != (new.name, new.host_id)


def is_there_again(old: Vm, new: Vm) -> bool:
    return old.deleted is None or new.last_seen > old.deleted + SEEN_AGAIN


def is_news(old: Host | Vm | None, new: Host | Vm) -> bool:
    return old is None or new.last_seen > old.last_seen
