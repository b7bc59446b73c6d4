"""Commands to the guests of one libvirt."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import libvirt

from novacron_agent.finding import Finding, fail, ok
from novacron_agent.providers.kvm.caller import Ask
from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.creating import Create
from novacron_agent.providers.kvm.deleting import Delete
from novacron_agent.providers.kvm.devices import (
    AttachDisk,
    AttachNic,
    DetachDisk,
    DetachNic,
    GrowDisk,
)
from novacron_agent.providers.kvm.domain import look
from novacron_agent.providers.kvm.save import Save
from novacron_agent.providers.kvm.snapshots import (
    DeleteSnapshot,
    ListSnapshots,
    Revert,
    TakeSnapshot,
)
from novacron_agent.providers.kvm.stop import Stop
from novacron_agent.providers.kvm.turn import Turn
from novacron_agent.providers.kvm.verbs import CALLS
from novacron_agent.providers.lifecycle import Done, EffectUnknown, FoundVm, NotPossible, Progress
from novacron_contract.commands import VERBS, Effect, Order, Verb
from novacron_contract.errors import NovaCronError, Refused, Unavailable


class _Steps(Protocol):
    def carry_out(self) -> Done:
        """As Lifecycle.perform."""


_OF_STEPS: Mapping[Verb, Callable[[Control, Order, Progress, float], _Steps]] = {
    Verb.STOP: Stop,
    Verb.SAVE: Save,
    Verb.CREATE: Create,
    Verb.ATTACH_DISK: AttachDisk,
    Verb.DETACH_DISK: DetachDisk,
    Verb.GROW_DISK: GrowDisk,
    Verb.ATTACH_NIC: AttachNic,
    Verb.DETACH_NIC: DetachNic,
    Verb.DELETE: Delete,
    Verb.SNAPSHOT: TakeSnapshot,
    Verb.REVERT: Revert,
    Verb.DELETE_SNAPSHOT: DeleteSnapshot,
    Verb.SNAPSHOTS: ListSnapshots,
}
_LOOK_S = 5.0  # for what asks no QEMU, after the deadline of what does


@dataclass(frozen=True, slots=True)
class KvmLifecycle:
    """`changed` is told of VMs that have another size: libvirt tells of no such change."""

    uri: str
    changed: Callable[[str], None] = field(default=lambda _vm_id: None, repr=False, compare=False)
    _control: Control = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_control", Control(self.uri))

    def verbs(self) -> frozenset[Verb]:
        return frozenset({*_OF_STEPS, *CALLS})

    def find(self, vm_id: str, patience_s: float) -> FoundVm:
        def ask(conn: libvirt.virConnect) -> FoundVm:
            domain = conn.lookupByUUIDString(vm_id)
            return FoundVm(domain.name(), look(domain).state)

        until = time.monotonic() + patience_s
        try:
            return self._control.ask(vm_id, ask, until, step="look")
        except EffectUnknown as err:  # to look is no effect
            raise Unavailable(str(err)) from err

    def perform(self, order: Order, progress: Progress, deadline: float) -> Done:
        of_steps = _OF_STEPS.get(order.verb)
        if of_steps is not None:
            try:
                return of_steps(self._control, order, progress, deadline).carry_out()
            finally:
                if order.verb is Verb.REVERT:
                    self.changed(order.vm_id)

        def ask(conn: libvirt.virConnect) -> Done:
            domain = conn.lookupByUUIDString(order.vm_id)
            return CALLS[order.verb](Turn(domain, order.arguments, progress, deadline))

        until = max(deadline, time.monotonic() + _LOOK_S)
        try:
            return self._asked(order, ask, until)
        except NotPossible:
            if VERBS[order.verb].effect is Effect.OPAQUE:
                raise
        # Somebody else was quicker, perhaps: what is as ordered by now is so
        return self._asked(order, ask, until)

    def _asked(self, order: Order, ask: Ask[Done], until: float) -> Done:
        try:
            return self._control.ask(order.vm_id, ask, until)
        finally:
            if order.verb is Verb.RESIZE:
                self.changed(order.vm_id)

    def check(self, patience_s: float) -> list[Finding]:
        what = f"commands by libvirt {self.uri}"
        try:
            seen = self._control.ask("", _seen, time.monotonic() + patience_s)
        except Refused as err:
            return [fail(what, str(err), "or set [commands] enabled = false")]
        except NovaCronError as err:
            return [fail(what, str(err), "restart it: systemctl restart libvirtd")]
        finally:
            self._control.close()
        return [ok(what, f"libvirt lets this user in for more than looking; {seen}")]

    def close(self) -> None:
        self._control.close()


def _seen(conn: libvirt.virConnect) -> str:
    pools = conn.listAllStoragePools(libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE)
    networks = conn.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
    where = f"VMs can be made in {len(pools)} pools, at {len(networks)} networks"
    if not pools:
        where = "no storage pool is active: VMs cannot be made here"
    return f"{len(conn.listAllDomains())} guests; {where}"
