"""What stands against a snapshot, looked at before anything is done."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterable

import libvirt

from novacron_agent.providers.kvm import saved
from novacron_agent.providers.kvm.domain import look
from novacron_agent.providers.kvm.markup import parsed, text_of
from novacron_agent.providers.kvm.snapshots.asking import must_not_be_busy
from novacron_agent.providers.kvm.snapshots.images import (
    Written,
    snapshots_in,
    volume_of,
    written_by,
)
from novacron_agent.providers.kvm.snapshots.known import lookup
from novacron_agent.providers.kvm.uses import overlays
from novacron_agent.providers.kvm.volumes import active_pools, found, real, refresh_all, shown
from novacron_agent.providers.lifecycle import NotPossible

_KIB, _MIB, _GIB = 1024, 1024**2, 1024**3
_OF_TABLES = 4096  # an image's tables are no larger than such a part of it


def check(conn: libvirt.virConnect, vm_id: str, name: str, *, memory: bool, is_named: bool) -> None:
    """`is_named`: by a person, who may name what is there.

    Raises:
        NotPossible: something stands against it; nothing was done.
    """
    domain = conn.lookupByUUIDString(vm_id)
    is_off = look(domain).is_off
    if lookup(domain, name) is not None:
        raise NotPossible(f"the VM has a snapshot {shown(name)} already")
    must_not_be_busy(domain)
    _can_be_kept(domain)
    if not is_off and not memory:
        raise NotPossible(
            "the VM runs: order it with its memory, or stop it first (without memory libvirt "
            "would write into another file, to which it cannot go back)"
        )
    if conn.getType() != "QEMU":  # libvirt's test driver has no images
        return
    tree = parsed(domain.XMLDesc(0))
    _keeps_firmware_beside_it(tree)
    disks = written_by(tree)
    if not disks:
        raise NotPossible("the VM has no disk that is written: there is nothing to keep")
    for disk in disks:
        _is_able(disk)
    refresh_all(conn)
    _is_in_no_image(conn, disks, name, is_named=is_named)
    fits(conn, disks, 0 if is_off else memory_of(tree))


def has_no_saved_memory(domain: libvirt.virDomain) -> None:
    """It would be restored on other disks than those it was saved with."""
    if saved.is_kept(domain):
        raise NotPossible(
            "its memory is saved, and goes with its disks as they are now: start the VM first, or "
            "start it afresh with discard_saved"
        )


def must_be_in_all(conn: libvirt.virConnect, disks: Iterable[Written], name: str) -> None:
    """libvirt finds out in the middle, with some disks changed, or the VM off.

    Raises:
        NotPossible: a disk is gone, or its image has no such snapshot.
    """
    for disk in disks:
        volume = volume_of(conn, disk)
        if volume is None:
            _must_be_elsewhere(conn, disk)
        elif not _has(conn, volume, name):
            raise NotPossible(
                f"the image of disk {disk.target} has no snapshot {shown(name)} (any more): see "
                "qemu-img snapshot -l"
            )


def _must_be_elsewhere(conn: libvirt.virConnect, disk: Written) -> None:
    """In a file or block device that is in no pool, and there."""
    if disk.pool:
        what = f"volume {shown(disk.volume)} of pool {shown(disk.pool)}"
        raise NotPossible(f"disk {disk.target} is {what}, which is not there (any more)")
    if not disk.path:
        raise NotPossible(f"disk {disk.target} is no file, volume or block device of this host")
    if _is_gone(disk.path):
        raise NotPossible(f"disk {disk.target} is {shown(disk.path)}, which is not there any more")
    folder = real(os.path.dirname(disk.path))
    for pool in active_pools(conn):
        if real(text_of(parsed(pool.XMLDesc()), "target/path")) == folder:
            raise NotPossible(
                f"disk {disk.target} is {shown(disk.path)}, which pool {shown(pool.name())} does "
                "not know: virsh pool-refresh"
            )


def _is_gone(path: str) -> bool:
    """What this user may not see may be there."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def must_have_nothing_on_top(conn: libvirt.virConnect, disks: Iterable[Written]) -> None:
    """What is built on a disk breaks when that becomes another one.

    Raises:
        NotPossible: a volume is built on one.
    """
    above = overlays(conn)
    for disk in disks:
        volume = volume_of(conn, disk)
        if volume is None:
            continue
        below = found(volume)
        for one in above:
            if one.is_on(below):
                raise NotPossible(
                    f"volume {shown(one.name)} is built on disk {disk.target}, and would break: "
                    "remove it first, or clone the VM's disk"
                )


def images_with(
    conn: libvirt.virConnect, disks: Iterable[Written], name: str
) -> tuple[list[str], list[str]]:
    """Targets of the disks whose images have such a snapshot; and of those that nobody can look
    into, as they are in no active pool."""
    having, unseen = [], []
    for disk in disks:
        volume = volume_of(conn, disk)
        if volume is None:
            unseen.append(disk.target)
        elif _has(conn, volume, name):
            having.append(disk.target)
    return having, unseen


def _has(conn: libvirt.virConnect, volume: libvirt.virStorageVol, name: str) -> bool:
    return any(name in (one.name, one.id) for one in snapshots_in(conn, volume))


def _can_be_kept(domain: libvirt.virDomain) -> None:
    if not domain.isPersistent():
        raise NotPossible("the VM is transient: what libvirt knows of it is gone with its end")
    has_no_saved_memory(domain)


def _keeps_firmware_beside_it(tree: ET.Element) -> None:
    os = tree.find("os")
    if os is None:
        return
    loader, nvram = os.find("loader"), os.find("nvram")
    is_flash = loader is not None and loader.get("type") == "pflash"
    is_qcow2 = nvram is not None and nvram.get("format") == "qcow2"  # which newer libvirts keep
    if (is_flash or os.get("firmware") == "efi") and not is_qcow2:
        raise NotPossible(
            "its firmware (EFI) keeps settings in a file that is no qcow2 image, which libvirt "
            "puts into no snapshot"
        )


def _is_able(disk: Written) -> None:
    if disk.format != "qcow2":
        raise NotPossible(
            f"disk {disk.target} is {disk.format[:40]}, and only qcow2 images hold snapshots: make "
            "it one (stop the VM, qemu-img convert -O qcow2, virsh edit), or detach it"
        )
    if not disk.path and not disk.volume:
        raise NotPossible(f"disk {disk.target} is no file, volume or block device of this host")
    if disk.snapshots not in ("", "internal"):
        how = disk.snapshots[:40]
        raise NotPossible(
            f"disk {disk.target} is to have no snapshot in it (snapshot='{how}' in the VM's "
            "definition): virsh edit"
        )
    if disk.is_transient:
        raise NotPossible(f"disk {disk.target} is transient: what is written to it is not kept")


def _is_in_no_image(
    conn: libvirt.virConnect, disks: list[Written], name: str, *, is_named: bool
) -> None:
    """QEMU would write over one that libvirt does not know of."""
    having, unseen = images_with(conn, disks, name)
    if having:
        raise NotPossible(
            f"the image of disk {having[0]} has a snapshot {shown(name)} that libvirt does not "
            "know: take another name, or remove it (qemu-img snapshot -d)"
        )
    if unseen and is_named:
        raise NotPossible(
            f"disk {unseen[0]} is in no active pool, so that nobody can see whether its image has "
            f"a snapshot {shown(name)}: leave the name out, or make a pool of its folder"
        )


def fits(conn: libvirt.virConnect, disks: list[Written], memory: int) -> None:
    """Memory goes into the first image. What the guest writes over later takes room then."""
    needed = memory + _MIB
    for disk in disks:
        volume = volume_of(conn, disk)
        if volume is not None:
            needed += int(volume.info()[1]) // _OF_TABLES
            pool = volume.storagePoolLookupByVolume()
            available = pool.info()[3]
            if needed > available:
                raise NotPossible(
                    f"pool {shown(pool.name())} has {available / _GIB:.2f} GiB left, and the "
                    f"snapshot may take {needed / _GIB:.2f} GiB"
                )
            needed = _MIB


def memory_of(tree: ET.Element) -> int:
    """libvirt writes KiB, whatever it was defined with."""
    return int(text_of(tree, "currentMemory") or text_of(tree, "memory") or 0) * _KIB
