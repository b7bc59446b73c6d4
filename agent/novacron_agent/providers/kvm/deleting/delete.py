"""Remove a VM: its power first, then its volumes, at the end its definition.

As long as it is defined it tells what it owned, so that whoever is killed in the middle goes on
where it was. Of a VM that is not defined here nothing is removed: it may run on another host.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import libvirt

from novacron_agent.providers.kvm.claims import removing
from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.deleting.plan import Plan, plan
from novacron_agent.providers.kvm.domain import in_time, look
from novacron_agent.providers.kvm.owned import remove, undefine
from novacron_agent.providers.kvm.stop import Stop
from novacron_agent.providers.kvm.uses import against_removal, overlays, users
from novacron_agent.providers.kvm.volumes import found, refresh_all, shown
from novacron_agent.providers.lifecycle import (
    Done,
    EffectFailed,
    EffectUnknown,
    NotPossible,
    Progress,
    VmNotFound,
)
from novacron_contract.commands import Force, Order, Value, Verb
from novacron_contract.errors import Refused, Unavailable

T = TypeVar("T")

_LOOK_S = 30.0


@dataclass(frozen=True, slots=True)
class Delete:
    control: Control
    order: Order
    progress: Progress
    deadline: float

    def carry_out(self) -> Done:
        arguments = self.order.arguments
        keep = arguments["keep_volumes"] is True
        planned = self._look(lambda conn: plan(conn, self.order.vm_id, keep_volumes=keep))
        detail = planned.as_json()
        if arguments["plan"] is True:
            return Done(changed=False, text=_said(planned, "would go"), detail=detail)
        if not planned.is_defined:
            names = ", ".join(one.name for one in planned.stays)
            raise NotPossible(
                f"this host has no such VM, only volumes of it: {names[:300]}. A VM on another "
                "host may use them; once none does, remove them by hand: virsh vol-delete"
            )
        if planned.is_active and arguments["force"] is not True:
            raise NotPossible("the VM runs: stop it first, or order it with force")
        in_time(self.deadline)
        self._take_steps(planned)
        return Done(changed=bool(planned.goes), text=_said(planned, "gone"), detail=detail)

    def _take_steps(self, planned: Plan) -> None:
        """Only of the first can be said that nothing was done."""
        steps = self._steps(planned)
        for number, (what, step) in enumerate(steps):
            self.progress.tell(what, number / len(steps))
            try:
                step()
            except (Refused, NotPossible, VmNotFound) as err:
                if number == 0:
                    raise
                raise EffectFailed(f"{what}: {err} (what went before it is gone)") from err
            except Unavailable as err:
                if number == 0:
                    raise
                raise EffectUnknown(f"{what}: {err}") from err

    def _steps(self, planned: Plan) -> list[tuple[str, Callable[[], None]]]:
        steps: list[tuple[str, Callable[[], None]]] = []
        if planned.is_active:
            steps.append(("power", self._power_off))
        for pool, name in planned.volumes:
            ask = partial(self._remove_volume, planned, pool, name)
            steps.append((f"volume {name}", partial(self._change, ask)))
        if planned.is_persistent:
            ask = partial(self._undefine, planned)
            steps.append(("definition", partial(self._change, ask)))
        return steps

    def _power_off(self) -> None:
        """At once: what it has not written is of no use any more."""
        arguments: dict[str, Value] = {"force": Force.NOW.value, "grace_s": 0.0}
        order = replace(self.order, verb=Verb.STOP, arguments=arguments)
        Stop(self.control, order, self.progress, self.deadline).carry_out()

    def _remove_volume(self, planned: Plan, pool: str, name: str, conn: libvirt.virConnect) -> None:
        """It is asked again who uses it: it may have been given to another VM since."""
        self._must_be_off(planned, conn)
        refresh_all(conn)
        try:
            volume = conn.storagePoolLookupByName(pool).storageVolLookupByName(name)
        except libvirt.libvirtError as err:
            if err.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
                return
            raise
        with removing([volume]):
            above = overlays(conn)  # takes long
            others = users(conn, self.order.vm_id)
            against = against_removal(found(volume), others, above, planned.paths)
            if against:
                raise NotPossible(f"{shown(name)} stays: {against}")
            remove([volume], self.deadline)

    def _undefine(self, planned: Plan, conn: libvirt.virConnect) -> None:
        """One that runs would go on, and be gone with its end."""
        self._must_be_off(planned, conn)
        domain = conn.lookupByUUIDString(self.order.vm_id)
        in_time(self.deadline)
        undefine(domain, keep=planned.keeps_state)

    def _must_be_off(self, planned: Plan, conn: libvirt.virConnect) -> None:
        """A transient one is gone with its end; another that is gone may have moved."""
        try:
            domain = conn.lookupByUUIDString(self.order.vm_id)
        except libvirt.libvirtError as err:
            if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN and not planned.is_persistent:
                return
            raise
        if not look(domain).is_off:
            raise EffectFailed("somebody started it while it was being deleted")

    def _change(self, ask: Callable[[libvirt.virConnect], T]) -> T:
        in_time(self.deadline)
        return self.control.ask(self.order.vm_id, ask, self.deadline)

    def _look(self, ask: Callable[[libvirt.virConnect], T]) -> T:
        try:
            until = time.monotonic() + _LOOK_S
            return self.control.ask(self.order.vm_id, ask, until, step="look")
        except EffectUnknown as err:  # to look is no effect
            raise Unavailable(str(err)) from err


def _said(planned: Plan, what: str) -> str:
    kept = f"; {len(planned.stays)} stay" if planned.stays else ""
    return f"{len(planned.goes)} {what}{kept}"
