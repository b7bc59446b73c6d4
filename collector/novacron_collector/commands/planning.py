"""From what is asked for to which commands that makes: which VMs, whose agents, and whether the
one who asks may."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import translate
from typing import Any

from novacron_collector.commands.device_rules import require_shareable, use_what_is_there
from novacron_collector.commands.request import MAX_COMMANDS, MAX_VMS, Request, Select
from novacron_contract.access import Permission, Target
from novacron_contract.commands import VERBS, Verb
from novacron_contract.errors import BadMessage, Conflict, NotFound, TooLarge, Unavailable
from novacron_contract.metrics import VmState
from novacron_store.state import Agents, Freshness, Inventory, Vm, freshness
from novacron_store.state.agents import intervals
from novacron_store.state.commands import Coming, Journals, Place

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMED = 5  # VMs in one message

States = Callable[[], Mapping[str, VmState]]  # of VMs, as telemetry has them
AgentsOfHosts = Callable[[], Mapping[str, str]]  # host ids to identities that are active
Require = Callable[[Permission, Target], None]  # raises Refused, and puts it on record


@dataclass(frozen=True, slots=True)
class Planned:
    """A VM of a plan. `state` None: not known. `problem`: why it cannot be ordered anything.
    `own`: the arguments that are its alone."""

    vm: Vm
    host_name: str
    state: VmState | None
    identity_id: str
    problem: str
    own: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    vms: tuple[Planned, ...]
    destructive: bool

    @property
    def confirm(self) -> str | None:
        """What has to be written to confirm it; None: nothing."""
        if not self.destructive or not self.vms:
            return None
        return self.vms[0].vm.name if len(self.vms) == 1 else str(len(self.vms))

    def places(self) -> list[Place]:
        return [
            Place(
                vm_id=one.vm.id,
                vm_name=one.vm.name,
                host_id=one.vm.host_id,
                identity_id=one.identity_id,
                own=dict(one.own),
            )
            for one in self.vms
        ]


@dataclass(frozen=True)
class Planner:
    inventory: Inventory
    agents: Agents
    journals: Journals
    agents_of_hosts: AgentsOfHosts
    states: States
    coming: Callable[[], Sequence[Coming]]

    def plan(self, asked: Request, require: Require, now: datetime) -> Plan:
        """
        Raises:
            BadMessage: these cannot all have the same device.
            Refused: one of the VMs is beyond what the one who asks may act upon.
            NotFound: a VM that is named is not there.
            BadMessage: it is for one VM alone.
            TooLarge: these are too many.
            Unavailable: states are asked for, and the store does not answer.
        """
        vms = self._chosen(asked, now)
        if len(vms) > MAX_VMS or len(vms) * len(asked.steps) > MAX_COMMANDS:
            raise TooLarge(
                f"{len(vms)} VMs by {len(asked.steps)} steps: an operation has at most {MAX_VMS} "
                f"VMs and {MAX_COMMANDS} commands: divide it"
            )
        for permission in sorted({VERBS[verb].permission for verb in _verbs(asked)}):
            for vm in vms:
                require(permission, Target(vm.host_id, vm.id, vm.resource))
        if use_what_is_there(asked.steps):
            for host_id in sorted({vm.host_id for vm in vms}):
                require(Permission.VM_MANAGE, Target(host_id))
        require_shareable(asked.steps, len(vms))
        _require_alone(asked, vms)
        return Plan(tuple(self._planned(asked, vms, now)), asked.is_destructive)

    def _chosen(self, asked: Request, now: datetime) -> list[Vm]:
        every = self._there()
        if asked.vms is not None:
            return _named(every, asked.vms)
        assert asked.select is not None
        return self._selected(every, asked.select, now)

    def _there(self) -> list[Vm]:
        """What is still being made is as it was ordered, whatever somebody else says of it."""
        being_made = {one.vm_id: one for one in self.coming()}
        return [
            vm
            if (of := being_made.get(vm.id)) is None
            else replace(vm, name=of.name, host_id=of.host_id, resource=of.resource)
            for vm in self.inventory.vms()
        ]

    def _selected(self, every: Iterable[Vm], select: Select, now: datetime) -> list[Vm]:
        """Of VMs that are there: what nobody has heard of for long is left out."""
        hosts = self._host_ids(select.host)
        pattern = None if select.name is None else re.compile(translate(select.name))
        states = self.states() if select.states else {}
        rates = intervals(self.agents.all())
        return [
            vm
            for vm in every
            if (hosts is None or vm.host_id in hosts)
            and (pattern is None or pattern.match(vm.name))
            and all(vm.resource.get(key) == of for key, of in select.tags.items())
            and (not select.states or states.get(vm.id, VmState.UNKNOWN) in select.states)
            and freshness(vm.last_seen, now, rates.get(vm.host_id)) is not Freshness.GONE
        ]

    def _host_ids(self, id_or_name: str | None) -> set[str] | None:
        if id_or_name is None:
            return None
        return {host.id for host in self.inventory.hosts() if id_or_name in (host.id, host.name)}

    def _planned(self, asked: Request, vms: Sequence[Vm], now: datetime) -> list[Planned]:
        serving = self.agents_of_hosts()
        names = {host.id: host.name for host in self.inventory.hosts()}
        states = self._known_states() if asked.dry_run else {}
        able = self.journals.verbs({serving[vm.host_id] for vm in vms if vm.host_id in serving})
        verbs = _verbs(asked)
        planned = []
        for vm in vms:
            host, identity = names.get(vm.host_id, vm.host_id), serving.get(vm.host_id, "")
            missing = verbs - able.get(identity, frozenset(verbs))
            problem = _problem(vm, host, identity, missing) or self._in_use(asked, vm, host, now)
            planned.append(Planned(vm, host, states.get(vm.id), identity, problem))
        return planned

    def _in_use(self, asked: Request, vm: Vm, host: str, now: datetime) -> str:
        """Names are one VM's on its host; the host has the last word."""
        if not new_names(asked):
            return ""
        rate = intervals(self.agents.all()).get(vm.host_id)
        used = {one.name for one in self.coming() if one.host_id == vm.host_id} | {
            other.name
            for other in self._there()
            if (other.host_id, other.id != vm.id) == (vm.host_id, True)
            and freshness(other.last_seen, now, rate) is not Freshness.GONE
        }
        taken = [name for name in new_names(asked) if name in used]
        return f"{vm.name}: {host} has a VM named {taken[0]}" if taken else ""

    def _known_states(self) -> Mapping[str, VmState]:
        try:
            return self.states()
        except Unavailable:  # a plan is one without them
            return {}


def confirm(asked: Request, plan: Plan, *, needed: bool = True) -> None:
    """That it can be done, and is meant. `needed`: not of a schedule, which was confirmed before.

    Raises:
        NotFound: no VM is as selected.
        Conflict: an agent is missing, or the confirmation is.
    """
    if not plan.vms:
        raise NotFound("no VM is as selected: see the plan with dry_run")
    problems = [one.problem for one in plan.vms if one.problem]
    if problems:
        more = f" (and {len(problems) - _NAMED} more)" if len(problems) > _NAMED else ""
        raise Conflict("; ".join(problems[:_NAMED]) + more)
    if needed and plan.confirm is not None and asked.confirm != plan.confirm:
        what = "the VM's name" if len(plan.vms) == 1 else "the number of VMs"
        raise Conflict(f'{_at_stake(asked)}: confirm it with {what}, "confirm": "{plan.confirm}"')


def _at_stake(asked: Request) -> str:
    hard = [one for one in asked.every_step if VERBS[one.verb].is_destructive(one.arguments)]
    return "; ".join(
        dict.fromkeys(
            "what is on the disk goes with it"
            if one.arguments.get("delete_volume") is True
            else VERBS[one.verb].at_stake
            for one in hard
        )
    )


def new_names(asked: Request) -> list[str]:
    """Of VMs that are there."""
    of = Verb.RENAME
    return [str(one.arguments["new_name"]) for one in asked.every_step if one.verb is of]


def _verbs(asked: Request) -> frozenset[Verb]:
    return frozenset(step.verb for step in asked.every_step)


def _require_alone(asked: Request, vms: Sequence[Vm]) -> None:
    alone = sorted(verb for verb in _verbs(asked) if VERBS[verb].alone)
    if alone and len(vms) > 1:
        raise BadMessage(f"{alone[0]}: one VM at a time, and these are {len(vms)}")


def _named(every: Iterable[Vm], wanted: Sequence[str]) -> list[Vm]:
    by_id: dict[str, Vm] = {}
    by_name: dict[str, list[Vm]] = {}
    for vm in every:
        by_id[vm.id] = vm
        by_name.setdefault(vm.name, []).append(vm)
    found: dict[str, Vm] = {}
    for key in wanted:
        vm = by_id.get(key) or _only_one(key, by_name.get(key, []))
        found[vm.id] = vm
    return list(found.values())


def _only_one(name: str, vms: Sequence[Vm]) -> Vm:
    if not vms:
        raise NotFound(f"no VM has the id or name {name[:80]!r}")
    if len(vms) > 1:
        ids = ", ".join(vm.id for vm in vms[:_NAMED])
        raise BadMessage(f"{len(vms)} VMs are called {name[:80]!r}, use an id: {ids}")
    return vms[0]


def _problem(vm: Vm, host: str, identity: str, missing: Iterable[str]) -> str:
    if not identity:
        return (
            f"{vm.name}: no agent of its host {host} takes commands: let it join "
            "(novacron agent invite)"
        )
    if not _UUID.fullmatch(vm.id):
        return f"{vm.name}: its provider takes no commands yet"
    if absent := sorted(missing):
        return f"{vm.name}: the agent of its host {host} cannot do: {', '.join(absent)}"
    return ""
