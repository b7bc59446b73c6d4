"""Make a disk larger: its QEMU does it where the VM runs, its pool where the VM is off."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.creating.storage import size_of
from novacron_agent.providers.kvm.devices.calls import Calls
from novacron_agent.providers.kvm.devices.guest import (
    Guest,
    disk_of,
    disks_said,
    guest_of,
    see_anew,
    target_of,
)
from novacron_agent.providers.kvm.domain import in_time
from novacron_agent.providers.kvm.snapshots.images import snapshots_in
from novacron_agent.providers.kvm.uses import against_removal, overlays, users
from novacron_agent.providers.kvm.volumes import (
    Found,
    is_read_as,
    refresh,
    refresh_all,
    shown,
    trusted,
)
from novacron_agent.providers.lifecycle import Done, EffectFailed, NotPossible, Progress
from novacron_contract.commands import Order

_GIB = 1024**3
_OTHERWISE = (
    "is raw, and begins as an image of another format, as which libvirt would change it: grow it "
    "while the VM runs"
)


@dataclass(frozen=True, slots=True)
class _Disk:
    """`size`: what it has now, in bytes."""

    guest: Guest
    target: str
    volume: libvirt.virStorageVol
    found: Found
    size: int


@dataclass(frozen=True, slots=True)
class GrowDisk:
    control: Control
    order: Order
    progress: Progress
    deadline: float

    def carry_out(self) -> Done:
        calls = Calls(self.control, self.order.vm_id, self.deadline)
        size = calls.look(self._size)
        if size == self._wanted:
            return Done(changed=False, detail={"bytes": size})
        in_time(self.deadline)
        calls.look(self._check)
        self.progress.tell(f"from {size / _GIB:.2f} GiB to {self._wanted / _GIB:.2f} GiB")
        calls.change(self._grow)
        return Done(changed=True, detail={"bytes": self._wanted})

    @property
    def _wanted(self) -> int:
        gib = self.order.arguments["size_gib"]
        assert isinstance(gib, float)
        return size_of(gib)

    def _size(self, conn: libvirt.virConnect) -> int:
        return self._look(conn).size

    def _look(self, conn: libvirt.virConnect) -> _Disk:
        name = str(self.order.arguments["disk"])
        see_anew(conn, name)
        guest = guest_of(conn, self.order.vm_id)
        disk = disk_of(conn, guest.trees[0], name)
        if disk is None:
            raise NotPossible(f"the VM has no disk {shown(name)}; it has {disks_said(guest)[:500]}")
        volume = _volume_of(conn, name, disk)
        found = trusted(conn, volume.name(), volume)
        size = found.capacity
        if guest.running is not None:
            size = guest.domain.blockInfo(target_of(disk))[0]
        _must_be_growable(name, disk, found)
        if guest.running is None and not is_read_as(volume, found.format):
            raise NotPossible(f"disk {name} {_OTHERWISE}")
        return _Disk(guest, target_of(disk), volume, found, size)

    def _check(self, conn: libvirt.virConnect) -> None:
        """
        Raises:
            NotPossible: something stands against it; nothing was done.
        """
        disk = self._look(conn)
        self._must_not_shrink(disk)
        disk.guest.must_be_changeable()
        _must_have_no_snapshots(conn, disk)
        refresh_all(conn)
        others = users(conn, self.order.vm_id)
        against = against_removal(disk.found, others, overlays(conn), set())
        if against:
            raise NotPossible(f"disk {disk.target} cannot grow: {against}")
        available = disk.volume.storagePoolLookupByVolume().info()[3]
        if self._wanted - disk.size > available:
            raise NotPossible(
                f"pool {shown(disk.found.pool)} has {available / _GIB:.2f} GiB left, and the disk "
                f"is to have {(self._wanted - disk.size) / _GIB:.2f} GiB more"
            )

    def _must_not_shrink(self, disk: _Disk) -> None:
        if self._wanted < disk.size:
            raise NotPossible(
                f"disk {disk.target} has {disk.size / _GIB:.2f} GiB: disks are made larger only, "
                "since what is at its end would be lost"
            )

    def _grow(self, conn: libvirt.virConnect) -> None:
        disk = self._look(conn)
        self._must_not_shrink(disk)
        in_time(self.deadline)
        if disk.guest.running is not None:
            flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
            disk.guest.domain.blockResize(disk.target, self._wanted, flags)
        else:
            disk.volume.resize(self._wanted, 0)
        refresh(disk.volume.storagePoolLookupByVolume())
        if self._look(conn).size != self._wanted:
            raise EffectFailed(f"disk {disk.target} has not the size that was ordered")


def _volume_of(conn: libvirt.virConnect, name: str, disk: ET.Element) -> libvirt.virStorageVol:
    source = disk.find("source")
    path = "" if source is None else source.get("file") or source.get("dev") or ""
    try:
        return conn.storageVolLookupByPath(path)
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        raise NotPossible(
            f"disk {name} is in no active storage pool of this host, and grows by hand: virsh "
            "blockresize"
        ) from err


def _must_be_growable(name: str, disk: ET.Element, found: Found) -> None:
    if found.kind != "file":
        raise NotPossible(f"disk {name} is a block device: grow that where it is made")
    if disk.find("readonly") is not None or disk.get("device", "disk") != "disk":
        raise NotPossible(f"disk {name} is only read")
    driver = disk.find("driver")
    given = "raw" if driver is None else driver.get("type", "raw")
    if given != found.format:
        raise NotPossible(f"disk {name} is {given} for the guest, and its volume {found.format}")


def _must_have_no_snapshots(conn: libvirt.virConnect, disk: _Disk) -> None:
    """Those within the image are of its size now. It tells of them itself: libvirt may not know
    one that was made before the disk came here."""
    if disk.found.format != "qcow2" or conn.getType() != "QEMU":  # the test driver has no images
        return
    for one in snapshots_in(conn, disk.volume):
        raise NotPossible(
            f"snapshot {shown(one.name)} is within disk {disk.target}, and of its size: delete it "
            "first (qemu-img snapshot -d, where the VM has none of that name)"
        )
