"""A disk for a VM that is there: what stands against it, and as what it is given."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import libvirt

from novacron_agent.providers.kvm.creating.checks import Sources, check_sources, fits
from novacron_agent.providers.kvm.creating.domain import LETTERS, bus_of, lettered, write_disk
from novacron_agent.providers.kvm.devices.guest import Guest, guest_of, target_of
from novacron_agent.providers.kvm.markup import add
from novacron_agent.providers.kvm.volumes import Found, found, pool_of
from novacron_agent.providers.lifecycle import NotPossible
from novacron_contract.vm_spec import Bus, Device, Disk, VmSpec

_MOST = 26 * 27  # names of two letters


def check_disk(conn: libvirt.virConnect, vm_id: str, disk: Disk, kept: Found | None) -> Sources:
    """`kept`: its volume, where that is made already.

    Raises:
        NotPossible: something stands against it; nothing was done.
    """
    guest = guest_of(conn, vm_id)
    guest.must_be_changeable()
    _can_be_plugged(guest, disk)
    free_target(guest, disk)
    if kept is not None:
        return Sources({disk.volume: kept} if disk.volume else {})
    spec = VmSpec(name="disk", memory_mib=1, disks=(disk,))
    pool_of(conn, disk.where)
    sources = check_sources(conn, "", spec)  # whatever uses them, the VM itself included
    fits(conn, spec, sources)
    return sources


def _can_be_plugged(guest: Guest, disk: Disk) -> None:
    if guest.running is None:
        return
    bus = bus_of(disk)
    if disk.device is Device.CDROM:
        raise NotPossible("a VM that runs is given no cdrom drive: stop it first")
    if bus is Bus.SATA:
        raise NotPossible(
            "a VM that runs is given no disk at sata: stop it first, or choose virtio"
        )
    if bus is Bus.SCSI and not _has_scsi(guest.running):
        raise NotPossible(
            "the VM runs, and has no SCSI controller: stop it first, or choose virtio"
        )


def free_target(guest: Guest, disk: Disk) -> str:
    """The first name for the host that no disk of it has, as it runs and as it is defined."""
    letters = LETTERS[bus_of(disk)]
    used = {target_of(one) for tree in guest.trees for one in tree.iterfind("devices/disk")}
    names = (lettered(letters, number) for number in range(_MOST))
    free = next(itertools.filterfalse(used.__contains__, names), None)
    if free is None:
        raise NotPossible(f"the VM has {_MOST} disks named {letters}… already")
    return free


def element(disk: Disk, volume: Found, target: str, alias: str) -> ET.Element:
    made = write_disk(ET.Element("devices"), disk, volume, bus_of(disk), target)
    add(made, "alias", name=alias)
    return made


def controller(guest: Guest, disk: Disk) -> ET.Element | None:
    """What its disk needs beside it: by itself libvirt takes one that few guests know."""
    if bus_of(disk) is not Bus.SCSI or any(map(_has_scsi, guest.trees)):
        return None
    return add(ET.Element("devices"), "controller", type="scsi", model="virtio-scsi")


def _has_scsi(tree: ET.Element) -> bool:
    return tree.find("devices/controller[@type='scsi']") is not None


def volume_under(conn: libvirt.virConnect, disk: ET.Element) -> Found | None:
    """None: it is in no pool any more, or of a format that guests are not given."""
    source = disk.find("source")
    path = "" if source is None else source.get("file") or source.get("dev") or ""
    try:
        return found(conn.storageVolLookupByPath(path))
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
    except NotPossible:
        pass
    return None
