"""Make a snapshot. Its description has the command's id, by which it is known again.

An agent that is killed leaves libvirt at work: what it makes is waited for, and is the one that was
ordered. Where libvirt was killed, too, an image may have a snapshot that libvirt does not know of,
and a VM that ran stands still. That no image had one of that name, and that it ran, was seen and
journalled before: so what is left is this command's, and is removed, and the VM goes on.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm.domain import in_time, look
from novacron_agent.providers.kvm.markup import add, parsed, written
from novacron_agent.providers.kvm.snapshots.asking import Asking
from novacron_agent.providers.kvm.snapshots.checks import check, images_with
from novacron_agent.providers.kvm.snapshots.images import written_by
from novacron_agent.providers.kvm.snapshots.known import (
    Known,
    all_known,
    known,
    lookup,
    mark,
    mark_of_left,
)
from novacron_agent.providers.lifecycle import (
    Done,
    EffectFailed,
    EffectUnknown,
    NotPossible,
    VmNotFound,
)
from novacron_contract.errors import NovaCronError, Refused, Unavailable
from novacron_contract.metrics import VmState

_MAKES, _OF_RUNNING = "it is made", "it is made while the VM runs"  # what is journalled before
_PAUSED_BY_IT = (
    libvirt.VIR_DOMAIN_PAUSED_SAVE,
    libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT,
    libvirt.VIR_DOMAIN_PAUSED_USER,  # as a libvirt that was killed calls it, too
    libvirt.VIR_DOMAIN_PAUSED_UNKNOWN,
)


@dataclass(frozen=True, slots=True)
class TakeSnapshot(Asking):
    def carry_out(self) -> Done:
        begun = self.progress.evidence
        if begun:
            self.wait_until_idle()
        made = self.look(self._mine)
        if made is None:
            if begun:
                self._clear(has_run=begun == _OF_RUNNING)
            made = self._made()
        return Done(changed=True, text=_said(made), detail=made.as_json())

    @property
    def name(self) -> str:
        """Its own, where none was given; no image has one of that name."""
        given = str(self.order.arguments["snapshot"])
        return given or f"snapshot-{self.order.id.replace('-', '')[-12:]}"

    def _made(self) -> Known:
        in_time(self.deadline)
        runs = self.look(self._check)
        self.progress.witness(_OF_RUNNING if runs else _MAKES)
        self.progress.tell(f"snapshot {self.name}")
        try:
            self.change(self._take)
        except (EffectUnknown, Unavailable):
            raise  # it is looked at again
        except NovaCronError as err:
            self._clear(has_run=runs)
            raise EffectFailed(f"{err} (nothing is left of it)") from err
        try:
            found = self.look(self._mine)
        except (Unavailable, VmNotFound, NotPossible, Refused) as err:
            raise EffectUnknown(f"it was made, and then: {err}") from err
        if found is None:
            raise EffectUnknown("it was made, and is not there: did somebody remove it?")
        return found

    def _check(self, conn: libvirt.virConnect) -> bool:
        """Whether its guest runs."""
        arguments = self.order.arguments
        check(
            conn,
            self.order.vm_id,
            self.name,
            memory=arguments["memory"] is True,
            is_named=bool(arguments["snapshot"]),
        )
        return look(self.domain(conn)).state in (VmState.RUNNING, VmState.BLOCKED)

    def _take(self, conn: libvirt.virConnect) -> None:
        """Somebody may have started the VM since."""
        domain = self.domain(conn)
        if not look(domain).is_off and self.order.arguments["memory"] is not True:
            raise NotPossible("somebody started the VM meanwhile")
        in_time(self.deadline)
        domain.snapshotCreateXML(written(self._xml(mark(self.order.id))), 0)

    def _xml(self, description: str) -> ET.Element:
        tree = ET.Element("domainsnapshot")
        add(tree, "name", self.name)
        add(tree, "description", description)
        return tree

    def _mine(self, conn: libvirt.virConnect) -> Known | None:
        every = all_known(self.domain(conn))
        return next((one for one in every if one.is_of(self.order.id)), None)

    def _clear(self, *, has_run: bool) -> None:
        """Remove what is left of it, and let the VM go on; whatever the time.

        Raises:
            EffectUnknown: that cannot be seen, or not be done.
        """
        try:
            if self.look(self._is_left):
                self.progress.tell("what was left of it is removed")
                self.control.ask(self.order.vm_id, self._remove, self.soon())
            if has_run and self.look(self._stands_still):
                self.control.ask(self.order.vm_id, self._let_go_on, self.soon())
        except NovaCronError as err:
            raise EffectUnknown(
                f"what is left of it may stay in its disks, and the VM may stand still: {err}"
            ) from err

    def _stands_still(self, conn: libvirt.virConnect) -> bool:
        state, reason = self.domain(conn).state()
        return state == libvirt.VIR_DOMAIN_PAUSED and reason in _PAUSED_BY_IT

    def _let_go_on(self, conn: libvirt.virConnect) -> None:
        if self._stands_still(conn):
            self.domain(conn).resume()

    def _is_left(self, conn: libvirt.virConnect) -> bool:
        domain = self.domain(conn)
        told = lookup(domain, self.name)
        if told is not None:
            return self._is_told(told)
        if conn.getType() != "QEMU":  # libvirt's test driver has no images
            return False
        having, _ = images_with(conn, written_by(parsed(domain.XMLDesc(0))), self.name)
        return bool(having)

    def _remove(self, conn: libvirt.virConnect) -> None:
        """libvirt removes what it knows: it is told of it first, and not as of what was ordered,
        as which it would count if this were cut off."""
        if not self._is_left(conn):
            return
        domain = self.domain(conn)
        told = lookup(domain, self.name) or self._tell(domain)
        if self._is_told(told):
            told.delete(0)

    def _tell(self, domain: libvirt.virDomain) -> libvirt.virDomainSnapshot:
        tree = self._xml(mark_of_left(self.order.id))
        add(tree, "state", "shutoff" if look(domain).is_off else "running")
        add(tree, "creationTime", 1)
        tree.append(parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
        return domain.snapshotCreateXML(written(tree), libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)

    def _is_told(self, one: libvirt.virDomainSnapshot) -> bool:
        return known(one).description == mark_of_left(self.order.id)


def _said(made: Known) -> str:
    kept = "disks and memory" if made.has_memory else "disks"
    return f"snapshot {made.name}: {kept}"
