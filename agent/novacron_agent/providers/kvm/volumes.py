"""Volumes of a libvirt's pools: found, and read."""

from __future__ import annotations

import contextlib
import os
import xml.etree.ElementTree as ET
from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm import marks, qcow2
from novacron_agent.providers.kvm.markup import parsed, text_of
from novacron_agent.providers.lifecycle import NotPossible

_MOST_BACKING = 32  # volumes built on one another
_TYPES = {libvirt.VIR_STORAGE_VOL_FILE: "file", libvirt.VIR_STORAGE_VOL_BLOCK: "block"}
_FORMATS = {
    "raw": "raw",
    "qcow2": "qcow2",
    "iso": "raw",
    "none": "raw",
    "unknown": "raw",
    "": "raw",
}


@dataclass(frozen=True, slots=True)
class Found:
    """`kind`: file or block. Sizes in bytes. `backing`: the path of what it is built on."""

    pool: str
    name: str
    path: str
    kind: str
    format: str
    capacity: int
    allocation: int
    backing: str

    def is_in(self, names: frozenset[str]) -> bool:
        return real(self.path) in names or f"{self.pool}/{self.name}" in names


def real(path: str) -> str:
    """Without links, where it is a path of this host: pools may show one folder under two."""
    return os.path.realpath(path) if path.startswith("/") else path


def pool_of(conn: libvirt.virConnect, name: str) -> libvirt.virStoragePool:
    """
    Raises:
        NotPossible: there is none, or it is not active.
    """
    try:
        pool = conn.storagePoolLookupByName(name)
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise
        there = ", ".join(sorted(one.name() for one in conn.listAllStoragePools())) or "none"
        raise NotPossible(f"this host has no pool {shown(name)}; it has {there[:500]}") from err
    if not pool.isActive():
        raise NotPossible(f"pool {shown(name)} is not active: start it")
    return pool


def volume_of(conn: libvirt.virConnect, pool: str, name: str) -> libvirt.virStorageVol:
    """What somebody put into the pool's folder is found, too, and known as it is by now.

    Raises:
        NotPossible: there is no such pool or volume.
    """
    where = pool_of(conn, pool)
    refresh(where)
    try:
        return where.storageVolLookupByName(name)
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        raise NotPossible(f"pool {shown(pool)} has no volume {shown(name)}") from err


def refresh(pool: libvirt.virStoragePool) -> None:
    with contextlib.suppress(libvirt.libvirtError):  # while a volume is being made there
        pool.refresh(0)


def refresh_all(conn: libvirt.virConnect) -> None:
    """libvirt does not see what others write into a pool, as snapshots, or hosts that share it."""
    for pool in active_pools(conn):
        refresh(pool)


def found(volume: libvirt.virStorageVol) -> Found:
    """
    Raises:
        NotPossible: it is of a kind or format that guests are not given.
    """
    tree = parsed(volume.XMLDesc())
    name, pool = volume.name(), volume.storagePoolLookupByVolume().name()
    kind = _TYPES.get(volume.info()[0])
    written = _written(tree)
    backing = text_of(tree, "backingStore/path")
    if marks.is_raw(name):
        written, backing = "raw", ""
    if kind is None or written not in _FORMATS:
        what = written if kind else "no file and no block device"
        raise NotPossible(f"volume {shown(name)} is {shown(what)}: only raw and qcow2 are used")
    return Found(
        pool=pool,
        name=name,
        path=volume.path(),
        kind=kind,
        format=_FORMATS[written],
        capacity=int(text_of(tree, "capacity") or 0),
        allocation=int(text_of(tree, "allocation") or 0),
        backing=backing,
    )


def is_read_as(volume: libvirt.virStorageVol, format_: str) -> bool:
    """By libvirt, which copies it as what it takes it for."""
    return _FORMATS.get(_written(parsed(volume.XMLDesc()))) == format_


def trusted(conn: libvirt.virConnect, name: str, volume: libvirt.virStorageVol) -> Found:
    """A volume all of whose data is in pools, and which says as what it is to be read: an image
    whose header names another file of the host would show that to the guest.

    Raises:
        NotPossible: it is not.
    """
    first = one = found(volume)
    for _ in range(_MOST_BACKING):
        if one.kind == "file":
            _refuse_link(name, volume)
        if one.format != "qcow2":
            return first
        header = head(conn, volume, qcow2.HEADER)
        if qcow2.has_external_data(header):
            raise NotPossible(f"volume {shown(name)} keeps its data in another file")
        if not one.backing:
            return first
        try:
            volume = conn.storageVolLookupByPath(one.backing)
        except libvirt.libvirtError as err:
            if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
                raise
            raise NotPossible(
                f"volume {shown(name)} is built on {shown(one.backing)}, which is in no pool"
            ) from err
        above, one = one, found(volume)
        if qcow2.backing_formats(header) != {one.format}:
            raise NotPossible(
                f"volume {shown(above.name)} does not say that what it is built on is to be read "
                f"as {one.format} (qemu-img rebase -u -F)"
            )
    raise NotPossible(f"volume {shown(name)} is built on more than {_MOST_BACKING} others")


def shown(name: str) -> str:
    """A name that anybody chose, in a message."""
    return repr(name if len(name) <= 200 else f"{name[:200]}…")


def _written(volume: ET.Element) -> str:
    format_ = volume.find("target/format")
    return "" if format_ is None else format_.get("type", "")


def active_pools(conn: libvirt.virConnect) -> list[libvirt.virStoragePool]:
    pools: list[libvirt.virStoragePool] = conn.listAllStoragePools(
        libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE
    )
    return pools


def _refuse_link(name: str, volume: libvirt.virStorageVol) -> None:
    """libvirt follows it, and gives the guest the file of the host."""
    pool = volume.storagePoolLookupByVolume()
    folder = real(text_of(parsed(pool.XMLDesc()), "target/path")).rstrip("/")
    if not real(volume.path()).startswith(f"{folder}/"):
        raise NotPossible(f"volume {shown(name)} is a link that leads out of its pool")


def head(
    conn: libvirt.virConnect, volume: libvirt.virStorageVol, size: int, offset: int = 0
) -> bytes:
    """The first bytes of a volume, or those from `offset` on."""
    stream = conn.newStream()
    volume.download(stream, offset, size)
    read = b""
    while len(read) < size and (piece := stream.recv(size - len(read))):
        read += piece
    stream.finish()
    return read
