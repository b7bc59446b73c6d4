"""Who uses volumes: domains, and other volumes that are built on them."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm import marks
from novacron_agent.providers.kvm.markup import parsed, text_of
from novacron_agent.providers.kvm.volumes import Found, active_pools, head, real, shown
from novacron_agent.providers.lifecycle import EffectFailed

_LOOKED_INTO = 64 * 1024
_NO_SNAPSHOT = (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT)


@dataclass(frozen=True, slots=True)
class User:
    """A domain, with what it writes and what it only reads: real paths, or pool/volume."""

    name: str
    is_active: bool
    writes: frozenset[str]
    reads: frozenset[str]


@dataclass(frozen=True, slots=True)
class Overlay:
    """A volume that is built on another; real paths. `first`: its first bytes, if only they can
    tell on which."""

    name: str
    path: str
    backing: str
    first: bytes = b""

    def is_on(self, below: Found) -> bool:
        return self.backing == real(below.path) or below.name.encode() in self.first


def users(conn: libvirt.virConnect, but: str) -> list[User]:
    """All domains, but for the one of that UUID."""
    found = []
    for domain in conn.listAllDomains():
        try:
            if domain.UUIDString() != but:
                found.append(_user(domain))
        except libvirt.libvirtError as err:
            if err.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:  # gone since
                raise
        except EffectFailed as err:
            raise EffectFailed(f"{shown(domain.name())}: {err}") from err
    return found


def overlays(conn: libvirt.virConnect) -> list[Overlay]:
    """In all active pools, of whatever format."""
    volumes = (volume for pool in active_pools(conn) for volume in pool.listAllVolumes())
    found = []
    for volume in volumes:
        if marks.is_raw(volume.name()):
            continue
        try:
            backing, first = _backing(conn, volume)
            if backing or first:
                found.append(Overlay(volume.name(), real(volume.path()), real(backing), first))
        except libvirt.libvirtError as err:
            if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:  # gone since
                raise
    return found


def _backing(conn: libvirt.virConnect, volume: libvirt.virStorageVol) -> tuple[str, bytes]:
    """Its path; where libvirt cannot tell, as of QED, the first bytes of the volume."""
    try:
        return text_of(parsed(volume.XMLDesc()), "backingStore/path"), b""
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise
        return "", head(conn, volume, _LOOKED_INTO)


def against_removal(one: Found, others: list[User], above: list[Overlay], going: set[str]) -> str:
    """Why it has to stay, when the volumes at the real paths `going` go."""
    for user in others:
        if one.is_in(user.writes | user.reads):
            return f"{shown(user.name)} uses it"
    for overlay in above:
        if overlay.is_on(one) and overlay.path not in going:
            return f"volume {shown(overlay.name)} is built on it"
    return ""


def nvram_of(tree: ET.Element) -> str:
    """Where a definition says that its firmware keeps its settings."""
    source = tree.find("os/nvram/source")
    return text_of(tree, "os/nvram").strip() or ("" if source is None else source.get("file", ""))


def has_nvram(tree: ET.Element) -> bool:
    """libvirt may not have said yet where."""
    where = ("os/nvram", "os[@firmware='efi']", "os/loader[@type='pflash']")
    return any(tree.find(one) is not None for one in where)


def nvram_user(domain: libvirt.virDomain) -> str:
    """Another VM whose definition names this one's NVRAM, as libvirt names it by the VM's name;
    empty: there is none."""
    tree = parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    if not has_nvram(tree):
        return ""
    path, by_name = nvram_of(tree), f"/{domain.name()}_VARS.fd"
    for user in users(domain.connect(), domain.UUIDString()):
        if path and real(path) in user.writes:
            return user.name
        if not path and any(one.endswith(by_name) for one in user.writes):
            return user.name
    return ""


def _user(domain: libvirt.virDomain) -> User:
    """As it is defined, and as it runs: disks may have been attached, or snapshots made. What a
    disk is built on is read, as by all who are built on it, unless the domain may write it."""
    is_active = bool(domain.isActive())
    writes: set[str] = set()
    reads: set[str] = set()
    below: set[str] = set()
    for flags in (libvirt.VIR_DOMAIN_XML_INACTIVE, 0)[: 1 + is_active]:
        tree = parsed(domain.XMLDesc(flags))
        reads |= {text_of(tree, "os/kernel"), text_of(tree, "os/initrd")}
        for disk in tree.iterfind("devices/disk"):
            (writes if disk.find("readonly") is None else reads).update(_sources(disk))
            below.update(_sources_below(disk))
        writes.update(filter(None, [nvram_of(tree)]))
    writes |= _own_below(domain, below) if below else set()
    reads |= below
    return User(domain.name(), is_active, frozenset(map(real, writes)), frozenset(map(real, reads)))


def _sources(disk: ET.Element) -> Iterator[str]:
    """Of the disk itself, and of what it is being copied or committed to."""
    below = list(_elements_below(disk))
    for source in disk.iter("source"):
        if source not in below:
            yield from _names(source)


def _sources_below(disk: ET.Element) -> Iterator[str]:
    for source in _elements_below(disk):
        yield from _names(source)


def _elements_below(disk: ET.Element) -> Iterator[ET.Element]:
    for backing in disk.iter("backingStore"):
        yield from backing.iter("source")


def _names(source: ET.Element) -> Iterator[str]:
    if source.get("pool") is not None:
        yield f"{source.get('pool')}/{source.get('volume')}"
    yield from (source.get(one, "") for one in ("file", "dev"))


def _own_below(domain: libvirt.virDomain, below: set[str]) -> set[str]:
    """What was its own disk before a snapshot of it was made: a commit writes it again."""
    own = marks.prefix(domain.UUIDString())
    before = {
        real(one)
        for xml in _external_snapshots(domain)
        for disk in parsed(xml).iterfind("domain/devices/disk")
        for one in _sources(disk)
    }
    return {one for one in below if os.path.basename(one).startswith(own) or real(one) in before}


def _external_snapshots(domain: libvirt.virDomain) -> Iterator[str]:
    try:
        for snapshot in domain.listAllSnapshots(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL):
            yield snapshot.getXMLDesc()
    except libvirt.libvirtError as err:
        if err.get_error_code() not in _NO_SNAPSHOT:
            raise
