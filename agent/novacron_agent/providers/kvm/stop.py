"""Stop a guest: it is asked, waited for, and its power is taken away as it is ordered.

Each step is a call of its own: a QEMU that hangs while it is asked can still be ended.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import libvirt

from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.domain import Seen, has_agent, in_time, is_off, look
from novacron_agent.providers.kvm.saved import is_being_saved
from novacron_agent.providers.lifecycle import (
    Done,
    EffectFailed,
    EffectUnknown,
    NotPossible,
    Progress,
    VmNotFound,
)
from novacron_contract.commands import Force, Order
from novacron_contract.errors import NovaCronError, Unavailable
from novacron_contract.metrics import VmState

T = TypeVar("T")

_LOOK_S = 5.0
_PRESS_S = 10.0  # for the button, which QEMU has to answer for
_HARDER = (
    (libvirt.VIR_DOMAIN_DESTROY_GRACEFUL, 20.0),  # it is told to end
    (libvirt.VIR_DOMAIN_DESTROY_DEFAULT, 40.0),  # it is told, and killed after some seconds
)
_AGENT_AFTER = 0.25  # of the grace: who does not react to the button is asked by its agent
_GONE = "the VM is gone from this host: it may have moved to another, or was removed"
_OFTEN_S, _SELDOM_S, _OFTEN_FOR_S = 0.1, 0.5, 10.0


@dataclass(frozen=True, slots=True)
class _Guest:
    seen: Seen
    is_persistent: bool
    is_qemu: bool


@dataclass(frozen=True, slots=True)
class Stop:
    control: Control
    order: Order
    progress: Progress
    deadline: float
    _detail: dict[str, bool] = field(default_factory=dict)

    def carry_out(self) -> Done:
        force = Force(str(self.order.arguments["force"]))
        guest = self._seen() if force is Force.NOW else self._settled()
        if guest.seen.is_off:
            if self.control.may_change(self.order.vm_id):
                raise Unavailable(
                    "the VM is off, but an earlier call for it still hangs in libvirt, and may "
                    "change that"
                )
            return Done(changed=False)
        if not guest.is_persistent:
            self._detail["transient"] = True
        if force is Force.NOW:
            return self._powered_off(at_once=True)
        if guest.seen.is_paused or guest.seen.state is VmState.SUSPENDED:
            if force is Force.NEVER:
                state = guest.seen.state
                raise NotPossible(f"the VM is {state}, and cannot shut itself down: resume it")
            return self._powered_off()
        began = time.monotonic()
        if self._has_shut_down(guest, began):
            return self._done(forced=False)
        if force is Force.NEVER:
            raise EffectFailed("the guest was asked to shut down and did not in time; it still may")
        self._must_have_had_its_grace(began)
        if self._has_ended_since():
            return self._done(forced=False)
        return self._powered_off()

    def _seen(self) -> _Guest:
        try:
            return self._ask(_guest, _LOOK_S, "look")
        except EffectUnknown as err:  # to look is no effect
            raise Unavailable(str(err)) from err

    def _settled(self) -> _Guest:
        """What is in its memory would be lost with its power, while it is being saved. Whether it
        is is no part of the look: that must not hang, as what asks for a job may."""
        guest = self._seen()
        while guest.seen.is_paused and self._is_being_saved():
            if time.monotonic() >= self.deadline:
                raise EffectFailed(
                    "the VM is being saved, and its power was not taken: it is off when that is "
                    "through; force=now takes it at once, and what is in its memory is lost"
                )
            self.progress.tell("it is being saved: its end is waited for")
            time.sleep(_SELDOM_S)
        return self._seen()

    def _has_ended_since(self) -> bool:
        """Somebody may have begun to save it since it was asked to shut down."""
        try:
            return self._settled().seen.is_off
        except VmNotFound:
            return self._is_off()
        except Unavailable as err:
            raise EffectUnknown(f"it was asked to end, and since then: {err}") from err

    def _is_being_saved(self) -> bool:
        try:
            return self._ask(is_being_saved, _LOOK_S, "job")
        except EffectUnknown as err:
            raise Unavailable(
                f"whether the VM is being saved is not known ({err}); force=now takes its power "
                "all the same"
            ) from err

    @property
    def _grace_s(self) -> float:
        return float(str(self.order.arguments["grace_s"]))

    def _must_have_had_its_grace(self, began: float) -> None:
        """A guest that may be writing is not cut off because the order's time was short."""
        if began + self._grace_s > self.deadline:
            waited = max(0.0, time.monotonic() - began)
            raise EffectFailed(
                f"the guest did not shut down within {waited:.0f} s; its power was not taken, "
                f"because the command's time is over before grace_s ({self._grace_s:g} s) is: "
                "it still may shut down; order it with a longer timeout"
            )

    def _has_shut_down(self, guest: _Guest, began: float) -> bool:
        grace = self._grace_s
        until = min(began + grace, self.deadline)
        self._press(guest)
        agent_at = began + grace * _AGENT_AFTER
        while not self._is_off():
            now = time.monotonic()
            if now >= until:
                return False
            if now >= agent_at:
                agent_at = float("inf")
                self._ask_agent()
            share = min(1.0, (now - began) / grace) if grace else None
            self.progress.tell(f"waits up to {grace:g} s for the guest to shut down", share)
            time.sleep(min(until - now, _OFTEN_S if now - began < _OFTEN_FOR_S else _SELDOM_S))
        return True

    def _press(self, guest: _Guest) -> None:
        """A QEMU that does not answer is one that does not react."""
        how = libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN if guest.is_qemu else 0
        in_time(self.deadline)
        try:
            self._ask(lambda domain: domain.shutdownFlags(how), _PRESS_S, "press")
        except (EffectUnknown, EffectFailed, NotPossible, Unavailable) as err:
            self.progress.tell(str(err))

    def _ask_agent(self) -> None:
        """It may not be there, hang, or be out of bounds for this user: the button was pressed."""

        def ask(domain: libvirt.virDomain) -> None:
            if has_agent(domain):
                domain.agentSetResponseTimeout(int(_LOOK_S))
                domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)

        with contextlib.suppress(NovaCronError):
            self._ask(ask, _PRESS_S, "agent")

    def _powered_off(self, *, at_once: bool = False) -> Done:
        """QEMU is told to end, and killed where it does not; libvirt gives it some seconds even
        then, so that it can write what it holds."""
        self.progress.tell("its power is taken away")
        failure: NovaCronError | None = None
        for how, patience_s in _HARDER[at_once:]:
            in_time(self.deadline)
            try:
                self._ask(partial(_destroy, how), patience_s, f"destroy {how}")
            except (EffectFailed, EffectUnknown, NotPossible, VmNotFound, Unavailable) as err:
                failure = err
            else:
                return self._done(forced=True)
            if self._is_off():
                return self._done(forced=True)
        if isinstance(failure, EffectUnknown):
            raise failure
        raise EffectFailed(f"its power could not be taken away: {failure}") from failure

    def _done(self, *, forced: bool) -> Done:
        said = ["its power was taken away"] if forced else []
        if self._detail:
            said.append("it was transient: it is gone with its end")
        detail = {**self._detail, "forced": forced}
        return Done(changed=True, text="; ".join(said), detail=detail)

    def _is_off(self) -> bool:
        """While libvirtd is restarted nobody can tell.

        Raises:
            EffectUnknown: it is not here any more, and that is not its end.
        """
        try:
            return self._ask(is_off, _LOOK_S, "look")
        except VmNotFound as err:
            if self._detail:  # a transient guest is gone with its end
                return True
            raise EffectUnknown(_GONE) from err
        except NotPossible as err:
            raise EffectUnknown(f"it was asked to end, and since then: {err}") from err
        except (EffectUnknown, EffectFailed, Unavailable):
            return False

    def _ask(self, ask: Callable[[libvirt.virDomain], T], patience_s: float, step: str) -> T:
        def of_domain(conn: libvirt.virConnect) -> T:
            return ask(conn.lookupByUUIDString(self.order.vm_id))

        until = time.monotonic() + patience_s
        return self.control.ask(self.order.vm_id, of_domain, until, step=step)


def _destroy(how: int, domain: libvirt.virDomain) -> None:
    domain.destroyFlags(how)


def _guest(domain: libvirt.virDomain) -> _Guest:
    is_qemu = domain.connect().getType() == "QEMU"
    return _Guest(look(domain), bool(domain.isPersistent()), is_qemu)
