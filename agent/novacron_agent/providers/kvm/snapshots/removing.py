"""Remove a snapshot. The VM stays as it is; what was made on top of it stays, unless ordered so."""

from __future__ import annotations

from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm.domain import in_time, look
from novacron_agent.providers.kvm.snapshots.asking import Asking, must_not_be_busy
from novacron_agent.providers.kvm.snapshots.known import Known, as_detail, known, lookup
from novacron_agent.providers.kvm.snapshots.others import must_lose_no_other
from novacron_agent.providers.kvm.volumes import refresh_all, shown
from novacron_agent.providers.lifecycle import Done, NotPossible

_REMOVES = "it is removed"  # what is journalled before


@dataclass(frozen=True, slots=True)
class DeleteSnapshot(Asking):
    def carry_out(self) -> Done:
        if self.progress.evidence:
            self.wait_until_idle()
        going = self.look(self._going)
        if not going:
            return Done(changed=False, text=f"the VM has no snapshot {self.name}")
        for one in going:
            if one.is_external:
                raise NotPossible(
                    f"snapshot {shown(one.name)} is in files beside the VM's disks, made by hand: "
                    "remove it by hand, too (virsh snapshot-delete, virsh blockcommit)"
                )
        in_time(self.deadline)
        self.progress.witness(_REMOVES)
        self.progress.tell(f"removes snapshot {self.name}")
        self.change(self._delete)
        detail = as_detail("gone", [one.name for one in going])
        return Done(changed=True, text=f"{len(going)} gone", detail=detail)

    def _going(self, conn: libvirt.virConnect) -> list[Known]:
        """It, and those that go with it."""
        domain = self.domain(conn)
        look(domain)  # which may be on its way to another host
        snapshot = lookup(domain, self.name)
        if snapshot is None:
            return []
        must_not_be_busy(domain)
        below = libvirt.VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS
        with_it = snapshot.listAllChildren(below) if self._with_children else []
        going = [snapshot, *with_it]
        if conn.getType() == "QEMU":  # libvirt's test driver has no images
            refresh_all(conn)
            must_lose_no_other(conn, domain, going)
        return [known(one) for one in going]

    def _delete(self, conn: libvirt.virConnect) -> None:
        snapshot = lookup(self.domain(conn), self.name)
        if snapshot is not None:
            in_time(self.deadline)
            children = libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN
            snapshot.delete(children if self._with_children else 0)

    @property
    def _with_children(self) -> bool:
        return self.order.arguments["children"] is True
