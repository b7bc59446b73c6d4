"""A VM's disks that are written, and which snapshots their images have."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm import qcow2
from novacron_agent.providers.kvm.volumes import head, real, shown
from novacron_agent.providers.lifecycle import NotPossible

_MOST_READ = 1024 * 1024  # of an image's table of snapshots


@dataclass(frozen=True, slots=True)
class Written:
    """A disk that is no file, no block device and no volume has no `path` and no `volume`."""

    target: str
    format: str
    path: str
    pool: str
    volume: str
    snapshots: str  # how libvirt is to treat it, if that is said
    is_transient: bool


def written_by(domain: ET.Element) -> list[Written]:
    """Its disks that have something in them, and are not only read."""
    found = []
    for disk in domain.iterfind("devices/disk"):
        source = disk.find("source")
        if source is None or disk.find("readonly") is not None or disk.get("device") == "cdrom":
            continue
        driver, target = disk.find("driver"), disk.find("target")
        found.append(
            Written(
                target="" if target is None else target.get("dev", ""),
                format="raw" if driver is None else driver.get("type", "raw"),
                path=source.get("file") or source.get("dev") or "",
                pool=source.get("pool", ""),
                volume=source.get("volume", ""),
                snapshots=disk.get("snapshot", ""),
                is_transient=disk.find("transient") is not None,
            )
        )
    return found


def volume_of(conn: libvirt.virConnect, disk: Written) -> libvirt.virStorageVol | None:
    """None: it is in no active pool."""
    if not (disk.pool or disk.path):
        return None
    try:
        if disk.pool:
            return conn.storagePoolLookupByName(disk.pool).storageVolLookupByName(disk.volume)
        return conn.storageVolLookupByPath(disk.path)
    except libvirt.libvirtError as err:
        if err.get_error_code() in (
            libvirt.VIR_ERR_NO_STORAGE_VOL,
            libvirt.VIR_ERR_NO_STORAGE_POOL,
        ):
            return None
        raise


def names_of(conn: libvirt.virConnect, disk: Written) -> frozenset[str]:
    """As `uses.users` has it: real paths, and pool/volume, whichever a definition names."""
    names = {real(disk.path), f"{disk.pool}/{disk.volume}" if disk.pool else ""}
    volume = volume_of(conn, disk)
    if volume is not None:
        pool = volume.storagePoolLookupByVolume().name()
        names |= {real(volume.path()), f"{pool}/{volume.name()}"}
    return frozenset(names - {""})


def snapshots_in(conn: libvirt.virConnect, volume: libvirt.virStorageVol) -> list[qcow2.Snapshot]:
    """As the image itself has them, whatever libvirt knows.

    Raises:
        NotPossible: it cannot be read.
    """
    number, offset = qcow2.table_of_snapshots(head(conn, volume, qcow2.HEADER))
    if not number:
        return []
    found = qcow2.snapshots(head(conn, volume, _MOST_READ, offset), number)
    if found is None:
        raise NotPossible(
            f"volume {shown(volume.name())} does not say which snapshots it has: qemu-img check"
        )
    return found
