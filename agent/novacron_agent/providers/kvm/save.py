"""Save a guest: its memory is written to its host's disk, and it is off; `start` goes on there.

libvirt does that in one call that may take minutes. Beside it is asked how far it is, and when the
order's time is over it is given up: the guest goes on as before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import libvirt

from novacron_agent.providers.kvm import saved
from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.domain import Seen, in_time, look
from novacron_agent.providers.lifecycle import (
    Done,
    EffectFailed,
    EffectUnknown,
    NotPossible,
    Progress,
)
from novacron_contract.commands import Order
from novacron_contract.errors import NovaCronError, Unavailable
from novacron_contract.metrics import VmState

T = TypeVar("T")

_LOOK_S = 5.0
_AGAIN_S = 0.5
_GIVE_UP_S = 15.0  # so long libvirt has to let go of it, after the order's time
_BEGUN = ("memory_total", "data_total"), ("memory_processed", "data_processed")


@dataclass(frozen=True, slots=True)
class _Guest:
    seen: Seen
    is_persistent: bool
    is_kept: bool
    is_being_saved: bool


@dataclass(frozen=True, slots=True)
class Save:
    control: Control
    order: Order
    progress: Progress
    deadline: float

    def carry_out(self) -> Done:
        guest = self._settled()
        if guest.seen.is_off:
            return self._off(guest)
        if guest.seen.state is VmState.CRASHED:
            raise NotPossible("the VM has crashed, and nothing of it is worth keeping: stop it")
        if not guest.is_persistent:
            raise NotPossible("the VM is transient: libvirt would forget it with its saved memory")
        in_time(self.deadline)
        self._save()
        return self._done(changed=True)

    def _off(self, guest: _Guest) -> Done:
        if not guest.is_kept:
            raise NotPossible(
                f"the VM is {guest.seen.state}, and cannot be saved: it has nothing in memory"
            )
        if not self._ask(saved.is_whole, "look"):
            raise NotPossible(
                "the VM is off, and what was saved of its memory is not whole: its host failed "
                "while it was written. Start it afresh with discard_saved"
            )
        return self._done(changed=False)

    def _done(self, *, changed: bool) -> Done:
        return Done(
            changed=changed,
            text="its memory is saved: start goes on with it",
            detail={"saved": True},
        )

    def _settled(self) -> _Guest:
        """Whoever was killed while it was saved left libvirt to it."""
        while (guest := self._look()).is_being_saved:
            self._watch()
            if time.monotonic() >= self.deadline + _GIVE_UP_S:
                raise EffectUnknown("it is being saved still, and libvirt does not let go of it")
            time.sleep(_AGAIN_S)
        return guest

    def _look(self) -> _Guest:
        try:
            return self._ask(_guest, "look")
        except EffectUnknown as err:  # to look is no effect
            raise Unavailable(str(err)) from err

    def _save(self) -> None:
        def save(conn: libvirt.virConnect) -> None:
            conn.lookupByUUIDString(self.order.vm_id).managedSave()

        until = self.deadline + _GIVE_UP_S
        try:
            self.control.ask(self.order.vm_id, save, until, meanwhile=self._watch)
        except (EffectFailed, NotPossible) as err:
            if time.monotonic() < self.deadline:
                raise
            guest = self._look()
            if not guest.seen.is_off:
                raise EffectFailed(
                    f"it was not saved in time, and was given up: the VM is {guest.seen.state} as "
                    "before; order it with a longer timeout"
                ) from err
            try:
                self._off(guest)
            except NotPossible as off:
                raise EffectFailed(f"it was not saved in time, and now: {off}") from err

    def _watch(self) -> None:
        """How far it is; once the time is over, that it is given up."""
        over = time.monotonic() >= self.deadline
        with contextlib.suppress(NovaCronError):
            if over:
                self.progress.tell("its time is over: it is given up")
                self._ask(_give_up, "give up")
            else:
                share = self._ask(_share, "job")
                self.progress.tell("its memory is being saved", share)

    def _ask(self, ask: Callable[[libvirt.virDomain], T], step: str) -> T:
        def of_domain(conn: libvirt.virConnect) -> T:
            return ask(conn.lookupByUUIDString(self.order.vm_id))

        until = time.monotonic() + _LOOK_S
        return self.control.ask(self.order.vm_id, of_domain, until, step=step)


def _guest(domain: libvirt.virDomain) -> _Guest:
    return _Guest(
        look(domain),
        bool(domain.isPersistent()),
        saved.is_kept(domain),
        saved.is_being_saved(domain),
    )


def _share(domain: libvirt.virDomain) -> float | None:
    told = domain.jobStats()
    for total, processed in zip(*_BEGUN, strict=True):
        if told.get(total):
            return min(1.0, float(told.get(processed, 0)) / float(told[total]))
    return None


def _give_up(domain: libvirt.virDomain) -> None:
    """What else is done with it, as a backup, is not this order's."""
    if saved.is_save(domain.jobStats()):
        domain.abortJob()
