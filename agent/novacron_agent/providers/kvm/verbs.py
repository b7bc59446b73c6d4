"""Verbs that are one call of libvirt; those that converge look first."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import libvirt

from novacron_agent.providers.kvm.domain import in_time, listening, look
from novacron_agent.providers.lifecycle import Done, EffectFailed, NotPossible, Progress
from novacron_contract.commands import Verb
from novacron_contract.metrics import VmState

_REBOOT = libvirt.VIR_DOMAIN_EVENT_ID_REBOOT


@dataclass(frozen=True, slots=True)
class Turn:
    domain: libvirt.virDomain
    progress: Progress
    deadline: float

    @property
    def is_qemu(self) -> bool:
        return bool(self.domain.connect().getType() == "QEMU")

    def in_time(self) -> None:
        in_time(self.deadline)


def start(turn: Turn) -> Done:
    seen = look(turn.domain)
    if seen.state is VmState.CRASHED and seen.is_paused:
        raise NotPossible("the VM has crashed and is kept as it was: stop it with force first")
    if not seen.is_off:
        text = "" if seen.state is VmState.RUNNING else f"it is not off, but {seen.state}"
        return Done(changed=False, text=text, detail={"state": seen.state.value})
    restored = False
    with contextlib.suppress(libvirt.libvirtError):  # not every hypervisor keeps such images
        restored = bool(turn.domain.hasManagedSaveImage())
    turn.in_time()
    turn.domain.create()
    text = "restored from its saved memory" if restored else ""
    return Done(changed=True, text=text, detail={"restored": True} if restored else {})


def suspend(turn: Turn) -> Done:
    seen = look(turn.domain)
    if seen.is_paused:
        return Done(changed=False, detail={"state": seen.state.value})
    _must_be(seen.state, VmState.RUNNING, VmState.BLOCKED, said="cannot be suspended")
    turn.in_time()
    turn.domain.suspend()
    return Done(changed=True)


def resume(turn: Turn) -> Done:
    seen = look(turn.domain)
    if seen.state is VmState.CRASHED:
        raise NotPossible("the VM has crashed, and cannot go on: stop and start it")
    if not seen.is_paused:
        _must_be(seen.state, VmState.RUNNING, VmState.BLOCKED, said="cannot go on")
        return Done(changed=False)
    turn.in_time()
    turn.domain.resume()
    if look(turn.domain).is_paused:
        raise EffectFailed("it was paused again at once: see its disks, and libvirt's log")
    return Done(changed=True)


def reset(turn: Turn) -> Done:
    seen = look(turn.domain)
    if seen.is_off:
        raise NotPossible(f"the VM is {seen.state}, and cannot be reset")
    turn.in_time()
    turn.domain.reset(0)
    turn.progress.witness("the hypervisor has reset it")
    return Done(changed=True)


def reboot(turn: Turn) -> Done:
    """Done when QEMU tells that the guest has restarted; a hypervisor that tells nothing is
    believed."""
    _must_be(look(turn.domain).state, VmState.RUNNING, VmState.BLOCKED, said="cannot restart")
    with listening(turn.domain, _REBOOT) as told:
        turn.in_time()
        turn.domain.reboot(0)
        if not (told.hears and turn.is_qemu):
            return Done(changed=True, text="it was asked to restart")
        turn.progress.tell("the guest was asked to restart")
        if not told.event.wait(max(0.0, turn.deadline - time.monotonic())):
            raise EffectFailed(
                "the guest was asked to restart, and did not in time; it still may. One that does "
                "not react to its power button: reset it"
            )
        turn.progress.witness("the guest has restarted")
        return Done(changed=True, text="the guest has restarted")


def _must_be(state: VmState, *allowed: VmState, said: str) -> None:
    if state not in allowed:
        raise NotPossible(f"the VM is {state}, and {said}")


CALLS: Mapping[Verb, Callable[[Turn], Done]] = MappingProxyType(
    {
        Verb.START: start,
        Verb.REBOOT: reboot,
        Verb.RESET: reset,
        Verb.SUSPEND: suspend,
        Verb.RESUME: resume,
    }
)
