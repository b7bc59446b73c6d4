"""Take a disk out of a VM, and where that is asked for remove the volume that was made for it."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from functools import partial

import libvirt

from novacron_agent.providers.kvm.claims import removing
from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.devices.calls import Calls
from novacron_agent.providers.kvm.devices.guest import (
    Guest,
    disk_of,
    disks_said,
    guest_of,
    remark,
    see_anew,
    source_of,
)
from novacron_agent.providers.kvm.devices.unplugging import Unplugging
from novacron_agent.providers.kvm.domain import in_time
from novacron_agent.providers.kvm.marks import Mark, Owned, prefix
from novacron_agent.providers.kvm.owned import remove
from novacron_agent.providers.kvm.uses import against_removal, overlays, users
from novacron_agent.providers.kvm.volumes import found, real, refresh_all, shown
from novacron_agent.providers.lifecycle import (
    Done,
    EffectFailed,
    EffectUnknown,
    NotPossible,
    Progress,
    VmNotFound,
)
from novacron_contract.commands import Order
from novacron_contract.errors import NovaCronError, Refused, Unavailable

_VOLUME = "its volume: "  # what is journalled before: once it is out, nothing else tells
_PLUGGED = ("virtio", "scsi", "usb")


@dataclass(frozen=True, slots=True)
class _Plan:
    """`volume`: what is to be removed. `has`: the VM's disks, for who named another."""

    is_there: bool
    volume: Owned | None
    has: str


@dataclass(frozen=True, slots=True)
class DetachDisk:
    control: Control
    order: Order
    progress: Progress
    deadline: float

    def carry_out(self) -> Done:
        calls = Calls(self.control, self.order.vm_id, self.deadline)
        planned = calls.look(self._plan)
        journalled = self._journalled()
        volume = planned.volume or journalled
        if journalled is not None and volume != journalled:
            raise EffectFailed(f"disk {self._disk} is another by now than it was when this began")
        if not planned.is_there and volume is None:
            text = f"the VM has no disk {shown(self._disk)}; it has {planned.has[:500]}"
            return Done(changed=False, text=text)
        in_time(self.deadline)
        if planned.volume is not None:
            self.progress.witness(f"{_VOLUME}{planned.volume.pool}/{planned.volume.volume}")
        what = f"disk {self._disk}"
        was_there = Unplugging(calls, self.progress, self._find, what).carry_out()
        if volume is None:
            return Done(changed=was_there)
        self.progress.tell(f"volume {volume.volume}", 0.8)
        was_there |= self._delete(calls, volume)
        return Done(changed=was_there, detail={"deleted": f"{volume.pool}/{volume.volume}"})

    @property
    def _disk(self) -> str:
        return str(self.order.arguments["disk"])

    def _find(self, conn: libvirt.virConnect, tree: ET.Element | None) -> ET.Element | None:
        return disk_of(conn, tree, self._disk)

    def _journalled(self) -> Owned | None:
        said = self.progress.evidence
        if not said.startswith(_VOLUME):
            return None
        pool, _, name = said.removeprefix(_VOLUME).partition("/")
        return Owned(pool, name)

    def _plan(self, conn: libvirt.virConnect) -> _Plan:
        see_anew(conn, self._disk)
        guest = guest_of(conn, self.order.vm_id)
        disks = [one for tree in guest.trees if (one := self._find(conn, tree)) is not None]
        volume = None
        if disks:
            self._must_be_detachable(conn, guest, disks)
            if self.order.arguments["delete_volume"] is True:
                volume = self._owned(conn, guest, disks[0])
        return _Plan(bool(disks), volume, disks_said(guest))

    def _must_be_detachable(
        self, conn: libvirt.virConnect, guest: Guest, disks: list[ET.Element]
    ) -> None:
        guest.must_be_changeable()
        if len({source_of(one) for one in disks}) > 1:
            raise NotPossible(
                f"what runs as {self._disk} is another disk than what is defined so: stop the VM"
            )
        running = self._find(conn, guest.running)
        if running is None or guest.running is None:
            return
        guest.must_answer(f"disk {self._disk}")
        target = running.find("target")
        bus = "" if target is None else target.get("bus", "")
        if bus not in _PLUGGED or running.get("device") == "cdrom":
            raise NotPossible(
                f"disk {self._disk} is at {bus}, and a VM that runs cannot let go of it: stop it"
            )
        if running is boot_disk(guest.running) and self.order.arguments["force"] is not True:
            raise NotPossible(
                f"the VM runs from disk {self._disk}: stop it first, or order it with force"
            )

    def _owned(self, conn: libvirt.virConnect, guest: Guest, disk: ET.Element) -> Owned:
        """
        Raises:
            NotPossible: it was not made with this VM, or something needs it.
        """
        stays = f"the volume of disk {self._disk} stays: detach it without deleting that"
        source = disk.find("source")
        path = "" if source is None else source.get("file") or source.get("dev") or ""
        try:
            volume = conn.storageVolLookupByPath(path)
        except libvirt.libvirtError as err:
            if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
                raise
            raise NotPossible(f"it is in no storage pool; {stays}") from err
        if not volume.name().startswith(prefix(self.order.vm_id)):
            raise NotPossible(f"{shown(volume.name())} was not made with this VM; {stays}")
        with contextlib.suppress(libvirt.libvirtError):
            if guest.domain.snapshotNum(0):
                raise NotPossible(f"snapshots of the VM need it; {stays}")
        against = _against(conn, volume, self.order.vm_id)
        if against:
            raise NotPossible(f"{against}; {stays}")
        return Owned(volume.storagePoolLookupByVolume().name(), volume.name())

    def _delete(self, calls: Calls, volume: Owned) -> bool:
        try:
            was_there = calls.change(partial(self._remove_volume, volume))
        except (Refused, NotPossible, VmNotFound) as err:
            raise EffectFailed(f"the disk is detached, and its volume stays: {err}") from err
        except Unavailable as err:
            raise EffectUnknown(f"the disk is detached, and its volume: {err}") from err
        without = partial(_without, volume)
        with contextlib.suppress(NovaCronError):  # a mark of what is gone harms nothing
            calls.change(lambda conn: remark(guest_of(conn, self.order.vm_id), without))
        return was_there

    def _remove_volume(self, volume: Owned, conn: libvirt.virConnect) -> bool:
        in_time(self.deadline)
        there = _volume(conn, volume)
        if there is None:
            return False
        with removing([there]):
            against = _against(conn, there, "")
            if against or not volume.volume.startswith(prefix(self.order.vm_id)):
                raise NotPossible(against or "it was not made with this VM")
            remove([there], self.deadline)
        return True


def boot_disk(tree: ET.Element) -> ET.Element | None:
    """What its order says is first; without one the first of its disks."""
    disks = [one for one in tree.iterfind("devices/disk") if one.get("device", "disk") == "disk"]

    def place(disk: ET.Element) -> int:
        boot = disk.find("boot")
        return 2**31 if boot is None else int(boot.get("order", 2**31))

    return min(disks, key=place, default=None)


def _against(conn: libvirt.virConnect, volume: libvirt.virStorageVol, but: str) -> str:
    """Why it has to stay."""
    refresh_all(conn)
    going = {real(volume.path())}
    above = overlays(conn)  # takes long
    return against_removal(found(volume), users(conn, but), above, going)


def _volume(conn: libvirt.virConnect, of: Owned) -> libvirt.virStorageVol | None:
    try:
        return conn.storagePoolLookupByName(of.pool).storageVolLookupByName(of.volume)
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        return None


def _without(volume: Owned, mark: Mark) -> Mark:
    return replace(mark, owned=tuple(one for one in mark.owned if one != volume))
