"""How libvirt is asked about the snapshots of one VM."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import libvirt

from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.domain import in_time
from novacron_agent.providers.lifecycle import EffectUnknown, NotPossible, Progress
from novacron_contract.commands import Order
from novacron_contract.errors import Unavailable

T = TypeVar("T")

_LOOK_S = 30.0  # at disks and pools, too
_AGAIN_S = 0.5
_STEP = "look at snapshots"
_OCCUPIED = (libvirt.VIR_DOMAIN_CONTROL_JOB, libvirt.VIR_DOMAIN_CONTROL_OCCUPIED)


@dataclass(frozen=True, slots=True)
class Asking:
    """One command."""

    control: Control
    order: Order
    progress: Progress
    deadline: float

    @property
    def name(self) -> str:
        return str(self.order.arguments["snapshot"])

    def change(self, ask: Callable[[libvirt.virConnect], T]) -> T:
        in_time(self.deadline)
        return self.control.ask(self.order.vm_id, ask, self.deadline)

    def look(self, ask: Callable[[libvirt.virConnect], T]) -> T:
        try:
            until = time.monotonic() + _LOOK_S
            return self.control.ask(self.order.vm_id, ask, until, step=_STEP)
        except EffectUnknown as err:  # to look is no effect
            raise Unavailable(str(err)) from err

    def soon(self) -> float:
        """A deadline for what has to be, whatever the time."""
        return max(self.deadline, time.monotonic() + _LOOK_S)

    def domain(self, conn: libvirt.virConnect) -> libvirt.virDomain:
        return conn.lookupByUUIDString(self.order.vm_id)

    def wait_until_idle(self) -> None:
        """What an agent ordered that is gone goes on, and is seen before it is whole.

        Raises:
            EffectUnknown: it was not ready by then.
        """
        while self.look(lambda conn: _works(self.domain(conn))):
            if time.monotonic() >= self.deadline:
                raise EffectUnknown("libvirt still works at this VM's disks or memory")
            time.sleep(_AGAIN_S)


def _works(domain: libvirt.virDomain) -> bool:
    """Also whether its QEMU does not answer: it writes memory, though libvirtd was started anew."""
    with contextlib.suppress(libvirt.libvirtError):  # it is off, or of libvirt's test driver
        if domain.controlInfo(0)[0] in _OCCUPIED:
            return True
    return is_busy(domain)


def must_not_be_busy(domain: libvirt.virDomain) -> None:
    if is_busy(domain):
        raise NotPossible("libvirt works at the VM's disks or memory: wait until it is done")


def is_busy(domain: libvirt.virDomain) -> bool:
    """Whether a job runs that takes its time: a snapshot, a migration, a backup."""
    with contextlib.suppress(libvirt.libvirtError):  # libvirt's test driver has none
        return bool(domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE)
    return False
