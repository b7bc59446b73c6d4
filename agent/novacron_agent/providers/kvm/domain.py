"""A guest as it is commanded: where it stands, and what it tells."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import libvirt

from novacron_agent.providers.kvm.saved import is_restored
from novacron_agent.providers.kvm.states import is_elsewhere, may_be_restored, vm_state
from novacron_agent.providers.lifecycle import EffectFailed, Elsewhere
from novacron_contract.metrics import VmState

_AGENT = ".//channel/target[@name='org.qemu.guest_agent.0']"


@dataclass(frozen=True, slots=True)
class Seen:
    state: VmState
    is_paused: bool  # as libvirt calls it, for whatever reason

    @property
    def is_off(self) -> bool:
        crashed = self.state is VmState.CRASHED and not self.is_paused
        return self.state is VmState.STOPPED or crashed


def look(domain: libvirt.virDomain) -> Seen:
    """Asks no QEMU.

    Raises:
        Elsewhere: it is on its way to another host.
    """
    state, reason = domain.state()
    is_here = may_be_restored(state, reason) and is_restored(domain)
    if is_elsewhere(state, reason) and not is_here:
        raise Elsewhere("the VM moves to another host, or has moved")
    return Seen(vm_state(state, reason), state == libvirt.VIR_DOMAIN_PAUSED)


def is_off(domain: libvirt.virDomain) -> bool:
    return look(domain).is_off


def has_agent(domain: libvirt.virDomain) -> bool:
    """Whether a guest agent has its channel open; that is no promise that it answers."""
    try:
        target = ElementTree.fromstring(domain.XMLDesc()).find(_AGENT)
    except (libvirt.libvirtError, ElementTree.ParseError):
        return False
    return target is not None and target.get("state") == "connected"


def in_time(deadline: float) -> None:
    """Before each effect: who was given up must not go on."""
    if time.monotonic() >= deadline:
        raise EffectFailed("its time was over, and nothing more was done")


@dataclass(frozen=True, slots=True)
class Told:
    """Set by libvirt's thread when it tells of the guest. `hears`: whether it ever will."""

    event: threading.Event
    hears: bool


@contextmanager
def listening(domain: libvirt.virDomain, kind: int) -> Iterator[Told]:
    """From before the effect on, so that nothing is missed."""
    event = threading.Event()

    def on_event(*_args: Any) -> None:
        event.set()

    conn = domain.connect()
    try:
        number = conn.domainEventRegisterAny(domain, kind, on_event, None)
    except libvirt.libvirtError:
        yield Told(event, hears=False)
        return
    try:
        yield Told(event, hears=True)
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            conn.domainEventDeregisterAny(number)
