"""Volumes of a libvirt's pools: found, read, and who uses them."""

from __future__ import annotations

import contextlib
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm import marks
from novacron_agent.providers.kvm.markup import parsed, text_of
from novacron_agent.providers.lifecycle import NotPossible

_MOST_BACKING = 32  # volumes built on one another
_HEADER = 80
_QCOW2, _EXTERNAL_DATA, _FEATURES_AT = b"QFI\xfb", 1 << 2, 72
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
        return self.path in names or f"{self.pool}/{self.name}" in names


@dataclass(frozen=True, slots=True)
class User:
    """A domain, with what it writes and what it only reads: paths, or pool/volume."""

    name: str
    is_active: bool
    writes: frozenset[str]
    reads: frozenset[str]


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
    """What somebody put into the pool's folder is found, too.

    Raises:
        NotPossible: there is no such pool or volume.
    """
    where = pool_of(conn, pool)
    with contextlib.suppress(libvirt.libvirtError):
        return where.storageVolLookupByName(name)
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


def found(volume: libvirt.virStorageVol) -> Found:
    """
    Raises:
        NotPossible: it is of a kind or format that guests are not given.
    """
    tree = parsed(volume.XMLDesc())
    name, pool = volume.name(), volume.storagePoolLookupByVolume().name()
    kind = _TYPES.get(volume.info()[0])
    format_ = tree.find("target/format")
    written = "" if format_ is None else format_.get("type", "")
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


def trusted(conn: libvirt.virConnect, name: str, volume: libvirt.virStorageVol) -> Found:
    """A volume all of whose data is in pools: an image whose header names another file of the host
    would show that to the guest.

    Raises:
        NotPossible: it is not.
    """
    first = one = found(volume)
    for _ in range(_MOST_BACKING):
        if one.format == "qcow2":
            _refuse_external_data(conn, name, volume)
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
        one = found(volume)
    raise NotPossible(f"volume {shown(name)} is built on more than {_MOST_BACKING} others")


def users(conn: libvirt.virConnect, but: str) -> list[User]:
    """All domains, but for the one of that UUID."""
    found = []
    for domain in conn.listAllDomains():
        with contextlib.suppress(libvirt.libvirtError):  # gone since
            if domain.UUIDString() != but:
                found.append(_user(domain))
    return found


def built_on(conn: libvirt.virConnect, wanted: Found) -> Iterator[Found]:
    """The volumes of its pool that need it."""
    for volume in conn.storagePoolLookupByName(wanted.pool).listAllVolumes():
        with contextlib.suppress(libvirt.libvirtError, NotPossible):
            one = found(volume)
            if one.backing == wanted.path:
                yield one


def against_removal(
    conn: libvirt.virConnect, others: list[User], one: Found, going: set[str]
) -> str:
    """Why it has to stay, when the volumes at the paths `going` go."""
    for other in others:
        if one.is_in(other.writes | other.reads):
            return f"{shown(other.name)} uses it"
    for above in built_on(conn, one):
        if above.path not in going:
            return f"volume {shown(above.name)} is built on it"
    return ""


def shown(name: str) -> str:
    """A name that anybody chose, in a message."""
    return repr(name if len(name) <= 200 else f"{name[:200]}…")


def _user(domain: libvirt.virDomain) -> User:
    """As it is defined, and as it runs: disks may have been attached, or snapshots made."""
    is_active = bool(domain.isActive())
    writes: set[str] = set()
    reads: set[str] = set()
    for flags in (libvirt.VIR_DOMAIN_XML_INACTIVE, 0)[: 1 + is_active]:
        tree = parsed(domain.XMLDesc(flags))
        reads |= {text_of(tree, "os/kernel"), text_of(tree, "os/initrd")}
        for disk in tree.iterfind("devices/disk"):
            (writes if disk.find("readonly") is None else reads).update(_sources(disk))
    return User(domain.name(), is_active, frozenset(writes), frozenset(reads))


def _sources(disk: ET.Element) -> Iterator[str]:
    for source in disk.iter("source"):
        if source.get("pool") is not None:
            yield f"{source.get('pool')}/{source.get('volume')}"
        yield from (source.get(one, "") for one in ("file", "dev"))


def _refuse_external_data(
    conn: libvirt.virConnect, name: str, volume: libvirt.virStorageVol
) -> None:
    header = head(conn, volume, _HEADER)
    if header[:4] != _QCOW2 or len(header) < _FEATURES_AT + 8:
        return
    (version,) = struct.unpack_from(">I", header, 4)
    (features,) = struct.unpack_from(">Q", header, _FEATURES_AT)
    if version >= 3 and features & _EXTERNAL_DATA:
        raise NotPossible(f"volume {shown(name)} keeps its data in another file")


def head(conn: libvirt.virConnect, volume: libvirt.virStorageVol, size: int) -> bytes:
    """The first bytes of a volume."""
    stream = conn.newStream()
    volume.download(stream, 0, size)
    read = b""
    while len(read) < size and (piece := stream.recv(size - len(read))):
        read += piece
    stream.finish()
    return read
