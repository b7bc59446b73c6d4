"""What a create made is removed again: where it failed, and where an agent was killed in it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm.claims import removing
from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.marks import mark_of
from novacron_agent.providers.kvm.markup import parsed
from novacron_agent.providers.kvm.owned import must_be_nobodys, remove, undefine, volumes_of
from novacron_agent.providers.lifecycle import EffectFailed, EffectUnknown, NotPossible, Progress
from novacron_contract.commands import Order
from novacron_contract.errors import NovaCronError

MAKES, DEFINES = "its volumes are made", "it is defined"  # what is journalled before
_UNDO_S = 60.0
_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Undo:
    control: Control
    order: Order
    progress: Progress

    def after(self, err: NovaCronError) -> NovaCronError:
        """Whatever the time: nothing half made is left."""
        self.progress.tell("what was made is removed again")
        try:
            self.whole(time.monotonic() + _UNDO_S)
        except NotPossible as left:
            return EffectFailed(f"{err}; and what was made of it stays: {left}")
        except NovaCronError as left:
            return EffectUnknown(f"{err}; and what was made could not be removed: {left}")
        return EffectFailed(f"{err} (what had been made of it is removed)")

    def whole(self, until: float) -> None:
        """What fails is tried again until then: libvirt may be in the middle of making it.

        Raises:
            NotPossible: it runs, or others use it.
            NovaCronError: it could not be removed by then.
        """
        while True:
            try:
                return self._once(until)
            except NotPossible:
                raise
            except NovaCronError:
                if time.monotonic() >= until:
                    raise
            time.sleep(_AGAIN_S)

    def _once(self, until: float) -> None:
        """What this command made. A VM that runs, or is another's, is none of it; nor is what
        others use by now."""

        def ask(conn: libvirt.virConnect) -> None:
            domain = mine(conn, self.order)
            if domain is not None:
                if domain.isActive():
                    raise NotPossible("it runs")
                undefine(domain)
            self.progress.witness(MAKES)
            volumes = volumes_of(conn, self.order.vm_id)
            with removing(volumes):
                must_be_nobodys(conn, self.order.vm_id, volumes)
                remove(volumes, until)

        self.control.ask(self.order.vm_id, ask, until)


def mine(conn: libvirt.virConnect, order: Order) -> libvirt.virDomain | None:
    """The domain, if it is defined already, by this command.

    Raises:
        NotPossible: by something else.
    """
    try:
        domain = conn.lookupByUUIDString(order.vm_id)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    mark = mark_of(parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
    if mark is None or mark.command != order.id:
        raise NotPossible("this host has a VM of this UUID already, made by something else")
    return domain
