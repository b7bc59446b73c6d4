"""Verbs that are one call of libvirt; those that converge look first."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import libvirt

from novacron_agent.providers.kvm import saved
from novacron_agent.providers.kvm.domain import Seen, listening, look
from novacron_agent.providers.kvm.rename import rename
from novacron_agent.providers.kvm.resizing import resize
from novacron_agent.providers.kvm.states import may_be_restored
from novacron_agent.providers.kvm.turn import Turn
from novacron_agent.providers.lifecycle import Done, EffectFailed, NotPossible
from novacron_contract.commands import Verb
from novacron_contract.metrics import VmState

_REBOOT = libvirt.VIR_DOMAIN_EVENT_ID_REBOOT
_AGAIN_S = 0.5
_RESTORES = "its saved memory is restored"
_DISCARDED = "its saved memory was discarded"


def start(turn: Turn) -> Done:
    if turn.progress.evidence == _RESTORES and may_be_restored(*turn.domain.state()):
        with contextlib.suppress(libvirt.libvirtError):  # it is still being restored, perhaps
            saved.note_restored(turn.domain)  # whoever restored it was killed before that
    seen = _settled(turn)
    if seen.state is VmState.CRASHED and seen.is_paused:
        raise NotPossible("the VM has crashed and is kept as it was: stop it with force first")
    if not seen.is_off:
        text = "" if seen.state is VmState.RUNNING else f"it is not off, but {seen.state}"
        return Done(changed=False, text=text, detail={"state": seen.state.value})
    if not saved.is_kept(turn.domain):
        turn.in_time()
        turn.domain.create()
        return Done(changed=True)
    if turn.arguments["discard_saved"] is True and not turn.progress.evidence:
        turn.in_time()
        turn.domain.managedSaveRemove()
        turn.progress.witness(_DISCARDED)  # what is saved from now on is another's
        turn.domain.create()
        text = f"started afresh: {_DISCARDED}"
        return Done(changed=True, text=text, detail={"restored": False})
    return _restored(turn)


def _settled(turn: Turn) -> Seen:
    """One that is being saved is off soon."""
    seen = look(turn.domain)
    while seen.is_paused and saved.is_being_saved(turn.domain):
        if time.monotonic() >= turn.deadline:
            raise EffectFailed("the VM is being saved: order it again when that is through")
        turn.progress.tell("it is being saved: its end is waited for")
        time.sleep(_AGAIN_S)
    return look(turn.domain)


def _restored(turn: Turn) -> Done:
    if not saved.is_whole(turn.domain):
        raise NotPossible(
            "what was saved of the VM's memory cannot be read, or is not whole: start it afresh "
            "with discard_saved"
        )
    turn.in_time()
    turn.progress.witness(_RESTORES)
    turn.domain.create()
    if may_be_restored(*turn.domain.state()):
        _note_restored(turn)
    state = look(turn.domain).state
    text = "restored from its saved memory"
    if state is VmState.PAUSED:
        text += ", paused as it was: resume it"
    return Done(changed=True, text=text, detail={"restored": True, "state": state.value})


def _note_restored(turn: Turn) -> None:
    try:
        saved.note_restored(turn.domain)
    except libvirt.libvirtError as err:
        raise EffectFailed(
            f"it was restored, paused as it was, and that could not be noted ({err}): resume it by "
            "hand, virsh resume"
        ) from err


def suspend(turn: Turn) -> Done:
    seen = _settled(turn)
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
    saved.forget_restored(turn.domain)
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
        Verb.RESIZE: resize,
        Verb.RENAME: rename,
    }
)
