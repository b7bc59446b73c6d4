"""libvirt's states and their reasons -> the states every provider shares."""

from __future__ import annotations

import libvirt

from novacron_contract.metrics import VmState

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: VmState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: VmState.BLOCKED,
    libvirt.VIR_DOMAIN_PAUSED: VmState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: VmState.STOPPING,
    libvirt.VIR_DOMAIN_SHUTOFF: VmState.STOPPED,
    libvirt.VIR_DOMAIN_CRASHED: VmState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: VmState.SUSPENDED,
}
_BY_REASON = {
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR): VmState.BLOCKED,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED): VmState.CRASHED,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED): VmState.CRASHED,
}
# During a migration both hosts know the VM. The one where the copy starts up and waits, and the one
# it has left, say nothing of it: the other reports it.
_REPORTED_ELSEWHERE = frozenset(
    {
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED),
    }
)


_PAUSED_MIGRATION = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)


def vm_state(state: int, reason: int) -> VmState:
    return _BY_REASON.get((state, reason)) or _STATES.get(state, VmState.UNKNOWN)


def is_elsewhere(state: int, reason: int) -> bool:
    return (state, reason) in _REPORTED_ELSEWHERE


def may_be_restored(state: int, reason: int) -> bool:
    """libvirt gives one that was paused when it was saved the same reason (saved.py)."""
    return (state, reason) == _PAUSED_MIGRATION
