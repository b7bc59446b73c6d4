"""Go back to a snapshot. What the guest has written since is lost, so it is done once at most.

Nothing of a VM tells which command brought it back: libvirt replaces its definition, and calls the
snapshot current that was made last, too. So an agent that is killed in the middle says that nobody
knows: gone back to again, a VM would lose what it has written in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm.claims import removing
from novacron_agent.providers.kvm.control import is_alive, meaning
from novacron_agent.providers.kvm.domain import in_time, look
from novacron_agent.providers.kvm.marks import Mark, mark_of
from novacron_agent.providers.kvm.markup import parsed
from novacron_agent.providers.kvm.snapshots.asking import Asking, must_not_be_busy
from novacron_agent.providers.kvm.snapshots.checks import (
    has_no_saved_memory,
    must_be_in_all,
    must_have_nothing_on_top,
)
from novacron_agent.providers.kvm.snapshots.differences import definition_in, differences
from novacron_agent.providers.kvm.snapshots.images import volume_of
from novacron_agent.providers.kvm.snapshots.known import known, lookup
from novacron_agent.providers.kvm.snapshots.others import disks_in, must_be_nobody_elses
from novacron_agent.providers.kvm.volumes import refresh_all, shown
from novacron_agent.providers.lifecycle import Done, EffectFailed, NotPossible
from novacron_contract.errors import NovaCronError, Refused

_INACTIVE = libvirt.VIR_DOMAIN_XML_INACTIVE


@dataclass(frozen=True, slots=True)
class Revert(Asking):
    def carry_out(self) -> Done:
        in_time(self.deadline)
        self.look(self._check)
        self.progress.tell(f"goes back to snapshot {self.name}")
        try:
            self.change(self._revert)
        except EffectFailed as err:
            raise EffectFailed(f"{err}{self._standing()}") from err
        self.progress.witness(f"it is as in snapshot {self.name}")
        state = self._state()
        return Done(
            changed=True,
            text=f"it is as in snapshot {self.name}{f', and {state}' if state else ''}",
            detail={"snapshot": self.name, "state": state or None},
        )

    def _check(self, conn: libvirt.virConnect) -> None:
        domain = self.domain(conn)
        look(domain)  # which may be on its way to another host
        snapshot = self._snapshot(domain)
        if not domain.isPersistent():
            raise NotPossible("the VM is transient: stop it, and it is gone")
        must_not_be_busy(domain)
        has_no_saved_memory(domain)
        then = definition_in(snapshot)
        if then is None:
            raise NotPossible("the snapshot does not say how the VM was defined: virsh")
        now = parsed(domain.XMLDesc(_INACTIVE))
        if _labels(mark_of(then)) != _labels(mark_of(now)):
            raise NotPossible(
                "its owner or tags were others then, and rights go by them: have them as they were "
                "(virsh metadata), or take another snapshot"
            )
        refresh_all(conn)
        self._can_have_its_disks(conn, snapshot)
        changed = differences(now, then)
        if changed and self.order.arguments["force"] is not True:
            raise NotPossible(
                f"the VM was changed since: {', '.join(changed)[:300]}; with force it becomes as "
                "it was then"
            )

    def _snapshot(self, domain: libvirt.virDomain) -> libvirt.virDomainSnapshot:
        snapshot = lookup(domain, self.name)
        if snapshot is None:
            raise NotPossible(f"the VM has no snapshot {shown(self.name)}")
        if known(snapshot).is_external:
            raise NotPossible(
                f"snapshot {shown(self.name)} is in files beside the VM's disks, made by hand: "
                "go back to it by hand, too (virsh snapshot-revert)"
            )
        return snapshot

    def _can_have_its_disks(
        self, conn: libvirt.virConnect, snapshot: libvirt.virDomainSnapshot
    ) -> None:
        must_be_nobody_elses(conn, self.order.vm_id, snapshot)
        if conn.getType() == "QEMU":  # libvirt's test driver has no images
            must_be_in_all(conn, disks_in(snapshot), self.name)
            must_have_nothing_on_top(conn, disks_in(snapshot))

    def _revert(self, conn: libvirt.virConnect) -> None:
        domain = self.domain(conn)
        snapshot = self._snapshot(domain)
        with removing(_volumes_in(conn, snapshot)):  # what they hold now goes
            self._can_have_its_disks(conn, snapshot)
            in_time(self.deadline)
            self._go_back(conn, snapshot)

    def _go_back(self, conn: libvirt.virConnect, snapshot: libvirt.virDomainSnapshot) -> None:
        """libvirt may have ended the VM's QEMU, or changed disks, before it says that this cannot
        be done."""
        force = self.order.arguments["force"] is True
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_FORCE if force else 0
        try:
            self.domain(conn).revertToSnapshot(snapshot, flags)
        except libvirt.libvirtError as err:
            if err.get_error_code() == libvirt.VIR_ERR_SNAPSHOT_REVERT_RISKY:
                said = " ".join(str(err).split()).rstrip(".")
                raise NotPossible(f"{said}: order it with force") from err
            meant = meaning(err, alive=is_alive(conn))
            if isinstance(meant, NotPossible | Refused):
                raise EffectFailed(str(meant)) from err
            raise

    def _state(self) -> str:
        try:
            return self.look(lambda conn: look(self.domain(conn)).state.value)
        except NovaCronError:  # it is done, whatever state it is in
            return ""

    def _standing(self) -> str:
        state = self._state()
        return f" (the VM is {state} now: look at its disks before it is started)" if state else ""


def _volumes_in(
    conn: libvirt.virConnect, snapshot: libvirt.virDomainSnapshot
) -> list[libvirt.virStorageVol]:
    if conn.getType() != "QEMU":  # libvirt's test driver has no images
        return []
    volumes = [volume_of(conn, disk) for disk in disks_in(snapshot)]
    return [one for one in volumes if one is not None]


def _labels(mark: Mark | None) -> tuple[object, ...]:
    return () if mark is None else (mark.owner, dict(mark.tags))
