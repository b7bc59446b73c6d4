"""A device is taken out: first of what runs, as soon as the guest lets go of it, then of what is
defined. A guest that does not let go has it still after its next start."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field

import libvirt

from novacron_agent.providers.kvm.devices.calls import Calls
from novacron_agent.providers.kvm.devices.guest import Guest, guest_of
from novacron_agent.providers.kvm.domain import in_time
from novacron_agent.providers.kvm.markup import written
from novacron_agent.providers.lifecycle import (
    EffectFailed,
    EffectUnknown,
    Elsewhere,
    NotPossible,
    Progress,
    VmNotFound,
)
from novacron_contract.errors import Refused, Unavailable

Find = Callable[[libvirt.virConnect, ET.Element | None], ET.Element | None]

_LOOK_AGAIN_S = 0.3
_ASK_AGAIN_S = 5.0  # a guest that boots may not hear it


@dataclass(slots=True)
class Unplugging:
    """`find`: the device in a tree. `what`: its name for people. `halves`: of what it is taken
    out, as libvirt's flags."""

    calls: Calls
    progress: Progress
    find: Find
    what: str
    halves: int = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
    _said: str = field(default="", init=False)
    _asked: bool = field(default=False, init=False)

    def carry_out(self) -> bool:
        """Whether there was anything to do."""
        try:
            was_running = self._wait_for_the_guest()
            was_defined = self.calls.look(self._is_defined) and self.calls.change(self._forget)
        except (Elsewhere, Unavailable) as err:
            if not self._asked:
                raise
            raise EffectUnknown(f"the guest was asked to let go of {self.what}; {err}") from err
        except (Refused, NotPossible, VmNotFound) as err:
            if not self._asked:
                raise
            raise EffectFailed(
                f"the guest was asked to let go of {self.what}, and still may: {err}"
            ) from err
        return was_running or was_defined

    def _wait_for_the_guest(self) -> bool:
        if self.calls.look(self._is_gone):
            return False
        self.calls.change(self._ask)
        self.progress.tell(f"the guest is to let go of {self.what}")
        again = time.monotonic() + _ASK_AGAIN_S
        while not self.calls.look(self._is_gone):
            if time.monotonic() >= self.calls.deadline:
                raise EffectFailed(self._not_let_go())
            if time.monotonic() >= again:
                again = time.monotonic() + _ASK_AGAIN_S
                self.calls.change(self._ask)
            time.sleep(_LOOK_AGAIN_S)
        return True

    def _not_let_go(self) -> str:
        said = f" ({self._said})" if self._said else ""
        return (
            f"the guest did not let go of {self.what} in time, and still may{said}; as defined the "
            "VM has it. One that uses it, boots or hangs does not: order it again, or stop the VM "
            "and detach it then"
        )

    def _is_gone(self, conn: libvirt.virConnect) -> bool:
        if not self.halves & libvirt.VIR_DOMAIN_AFFECT_LIVE:
            return True
        return self.find(conn, guest_of(conn, self.calls.vm_id).running) is None

    def _is_defined(self, conn: libvirt.virConnect) -> bool:
        if not self.halves & libvirt.VIR_DOMAIN_AFFECT_CONFIG:
            return False
        return self.find(conn, guest_of(conn, self.calls.vm_id).defined) is not None

    def _ask(self, conn: libvirt.virConnect) -> None:
        guest = guest_of(conn, self.calls.vm_id)
        device = self.find(conn, guest.running)
        if device is None:
            return
        guest.must_answer(self.what)
        alias = device.find("alias")
        if alias is None:
            raise NotPossible(f"{self.what} has no alias, by which the hypervisor would know it")
        in_time(self.calls.deadline)
        is_first, self._asked = not self._asked, True
        try:
            guest.domain.detachDeviceAlias(alias.get("name", ""), libvirt.VIR_DOMAIN_AFFECT_LIVE)
        except libvirt.libvirtError as err:
            if is_first:
                self._asked = False
                raise
            self._said = str(err)  # such as that it is being done

    def _forget(self, conn: libvirt.virConnect) -> bool:
        guest: Guest = guest_of(conn, self.calls.vm_id)
        device = self.find(conn, guest.defined)
        if device is None:
            return False
        in_time(self.calls.deadline)
        guest.domain.detachDeviceFlags(written(device), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        if self.find(conn, guest_of(conn, self.calls.vm_id).defined) is not None:
            raise EffectFailed(f"libvirt took {self.what} out, and has it still")
        return True
