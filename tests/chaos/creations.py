"""VMs that were ordered to be made and removed, held against what hosts have of them in the end.

A VM is there once or not at all, with all that was made for it; nothing of one that is not there is
left. What the end of a command says itself, as that volumes stay, is told apart from what nobody
says: that is a violation.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

import libvirt

from chaos.effects import Told
from creating_world import POOLS, World
from novacron_agent.providers.kvm.marks import mark_of
from novacron_contract.commands import State, Verb

_OWNED = re.compile(r"novacron-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-")
_MAYBE = frozenset({State.FAILED, State.OUTCOME_UNKNOWN})
_SAYS = ("stay", "could not be removed", "made, and not started", "may still be done", "is gone")
Volume = tuple[str, str]  # its pool, its name


@dataclass(frozen=True, slots=True)
class Defined:
    """`command` and `owned` as its mark has them."""

    vm: str
    host: str
    command: str
    is_active: bool
    owned: frozenset[Volume]


@dataclass(frozen=True, slots=True)
class Census:
    """`volumes` that are named as NovaCron's, by hosts."""

    defined: tuple[Defined, ...] = ()
    volumes: Mapping[str, frozenset[Volume]] = field(default_factory=dict)

    def of(self, vm: str) -> list[Defined]:
        return [one for one in self.defined if one.vm == vm]

    def volumes_of(self, vm: str) -> list[str]:
        return sorted(
            f"{host}: {pool}/{name}"
            for host, volumes in self.volumes.items()
            for pool, name in volumes
            if (found := _OWNED.match(name)) and found[1] == vm
        )

    def vms(self) -> set[str]:
        """Of which anything is there."""
        names = (name for volumes in self.volumes.values() for _, name in volumes)
        found = {of[1] if (of := _OWNED.match(name)) else name for name in names}
        return found | {one.vm for one in self.defined}


@dataclass(frozen=True, slots=True)
class Misfit:
    """`said`: by the end of a command; empty: by nobody."""

    text: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.said})" if self.said else self.text


def census(worlds: Mapping[str, World]) -> Census:
    """By names of hosts. Files of pools are looked at, whatever libvirt knows of them."""
    return Census(
        tuple(one for host, world in worlds.items() for one in _defined(host, world)),
        {
            host: frozenset(
                (pool, path.name)
                for pool in POOLS
                for path in world.pool(pool).iterdir()
                if path.name.startswith("novacron-")
            )
            for host, world in worlds.items()
        },
    )


def _defined(host: str, world: World) -> Iterator[Defined]:
    for domain in world.conn.listAllDomains():
        mark = mark_of(ElementTree.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
        if mark is not None:
            owned = frozenset((one.pool, one.volume) for one in mark.owned)
            is_active = bool(domain.isActive())
            yield Defined(domain.UUIDString(), host, mark.command, is_active, owned)


def misfits(told: Sequence[Told], volumes: Mapping[str, int], found: Census) -> Iterator[Misfit]:
    """`told`: creates and deletes; `volumes`: how many a VM was ordered with, by its id. Each was
    to run."""
    by_vm: defaultdict[str, list[Told]] = defaultdict(list)
    for one in told:
        by_vm[one.vm].append(one)
        if not one.state.is_final:
            yield Misfit(f"no end: {one}")
        elif one.verb is Verb.DELETE and one.state is State.OUTCOME_UNKNOWN:
            yield Misfit(f"unknown, and it converges: {one}")
    for vm, commands in by_vm.items():
        yield from _of_vm(vm, commands, volumes.get(vm, 0), found)
    for vm in sorted(found.vms() - set(by_vm)):
        yield Misfit(f"nobody ordered it: {vm}")


def _of_vm(vm: str, commands: Sequence[Told], volumes: int, found: Census) -> Iterator[Misfit]:
    create = next((one for one in commands if one.verb is Verb.CREATE), None)
    deletes = [one for one in commands if one.verb is Verb.DELETE]
    there = found.of(vm)
    is_made = create is not None and create.state is State.SUCCEEDED
    is_deleted = any(one.state is State.SUCCEEDED for one in deletes)
    if len(there) > 1:
        yield Misfit(f"there more than once: {vm} on {', '.join(one.host for one in there)}")
    if is_made and not is_deleted and not there:
        yield Misfit(f"made, and not there: {create}")
    if there and is_deleted:
        yield Misfit(f"deleted, and there: {deletes[-1]}")
    if there and not is_made:
        yield Misfit(f"not made, and there: {create}", _said([create] if create else []))
    for one in there:
        for text in _half(one, create, volumes, found):
            yield Misfit(f"half made: {vm} {text}", _said(commands))
    for name in () if there else found.volumes_of(vm):
        yield Misfit(f"a volume of no VM: {name}: {create}", _said(commands))


def _half(one: Defined, create: Told | None, volumes: int, found: Census) -> Iterator[str]:
    for pool, name in sorted(one.owned - found.volumes.get(one.host, frozenset())):
        yield f"has no volume {pool}/{name}"
    if len(one.owned) != volumes:
        yield f"was made with {len(one.owned)} volumes in place of {volumes}"
    if not one.is_active:
        yield "does not run"
    if create is not None and one.command != create.id:
        yield f"was made by {one.command}, and not by {create.id}"


def _said(commands: Sequence[Told]) -> str:
    """What one of them says of what it left."""
    errors = (one.error for one in commands if one.state in _MAYBE)
    return next((one for one in errors if any(words in one for words in _SAYS)), "")
