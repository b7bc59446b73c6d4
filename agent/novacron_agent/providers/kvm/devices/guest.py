"""A guest whose devices are changed: as it is defined, and as it runs."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm import marks
from novacron_agent.providers.kvm.domain import look
from novacron_agent.providers.kvm.markup import parsed, written
from novacron_agent.providers.kvm.volumes import pool_of, real, refresh
from novacron_agent.providers.lifecycle import EffectFailed, NotPossible
from novacron_contract.metrics import VmState

_NO_ROOM = ("No more available PCI slots", "does not support hotplugging")
_CONFIG, _LIVE = libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_AFFECT_LIVE


@dataclass(frozen=True, slots=True)
class Guest:
    """`defined` is None for one that is transient, `running` for one that is off."""

    domain: libvirt.virDomain
    state: VmState
    defined: ET.Element | None
    running: ET.Element | None

    def by_flag(self) -> Iterator[tuple[int, ET.Element]]:
        """What there is of it, each with libvirt's word for changing that."""
        if self.running is not None:
            yield _LIVE, self.running
        if self.defined is not None:
            yield _CONFIG, self.defined

    @property
    def trees(self) -> list[ET.Element]:
        return [tree for _, tree in self.by_flag()]

    def must_be_changeable(self) -> None:
        """
        Raises:
            NotPossible: it will go on with the devices that it had.
        """
        with contextlib.suppress(libvirt.libvirtError):  # not every hypervisor keeps such images
            if self.running is None and self.domain.hasManagedSaveImage():
                raise NotPossible(
                    "the VM's memory is saved, and goes on with the devices that it had: start it"
                )

    def must_answer(self, what: str) -> None:
        """
        Raises:
            NotPossible: it runs, and cannot let go of anything.
        """
        if self.running is not None and self.state not in (VmState.RUNNING, VmState.BLOCKED):
            raise NotPossible(f"the VM is {self.state}, and cannot let go of {what}: resume it")


def guest_of(conn: libvirt.virConnect, vm_id: str) -> Guest:
    """
    Raises:
        Elsewhere: it is on its way to another host.
    """
    domain = conn.lookupByUUIDString(vm_id)
    seen = look(domain)
    is_active, inactive = bool(domain.isActive()), libvirt.VIR_DOMAIN_XML_INACTIVE
    return Guest(
        domain,
        seen.state,
        parsed(domain.XMLDesc(inactive)) if domain.isPersistent() else None,
        parsed(domain.XMLDesc()) if is_active else None,
    )


def target_of(device: ET.Element) -> str:
    target = device.find("target")
    return "" if target is None else target.get("dev", "")


def source_of(disk: ET.Element) -> str:
    """What it is: a real path, or pool/volume; empty for a drive with nothing in it."""
    source = disk.find("source")
    if source is None:
        return ""
    if source.get("pool") is not None:
        return f"{source.get('pool')}/{source.get('volume')}"
    return real(source.get("file") or source.get("dev") or source.get("name") or "")


def disk_of(conn: libvirt.virConnect, tree: ET.Element | None, name: str) -> ET.Element | None:
    """By its name for the host, or as POOL/VOLUME.

    Raises:
        NotPossible: there is no such pool.
    """
    if tree is None:
        return None
    pool, is_volume, volume = name.partition("/")
    names = {name, *_paths(pool_of(conn, pool), volume)} if is_volume else {name}
    for disk in tree.iterfind("devices/disk"):
        if (source_of(disk) if is_volume else target_of(disk)) in names:
            return disk
    return None


def _paths(pool: libvirt.virStoragePool, volume: str) -> Iterator[str]:
    """None where it was removed."""
    try:
        yield real(pool.storageVolLookupByName(volume).path())
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
            raise


def see_anew(conn: libvirt.virConnect, name: str) -> None:
    """What somebody put into the pool of POOL/VOLUME is found, too."""
    pool, is_volume, _ = name.partition("/")
    if is_volume:
        refresh(pool_of(conn, pool))


def disks_said(guest: Guest) -> str:
    """For who named one that is not there."""
    names = {target_of(disk) for tree in guest.trees for disk in tree.iterfind("devices/disk")}
    return ", ".join(sorted(names)) or "none"


def aliased(tree: ET.Element, alias: str) -> ET.Element | None:
    """The device that was given this name."""
    for device in tree.iterfind("devices/*"):
        named = device.find("alias")
        if named is not None and named.get("name") == alias:
            return device
    return None


def plug(guest: Guest, device: ET.Element, flags: int) -> None:
    try:
        guest.domain.attachDeviceFlags(written(device), flags)
    except libvirt.libvirtError as err:
        if flags & _LIVE and any(said in str(err) for said in _NO_ROOM):
            raise EffectFailed(f"{err}: the VM takes no more while it runs: stop it first") from err
        raise


def remark(guest: Guest, change: Callable[[marks.Mark], marks.Mark]) -> None:
    """Write another mark. On a VM that NovaCron did not make there is none, and will be none: it
    would be taken for one that it made.

    Raises:
        EffectFailed: it is not as it was written.
    """
    for flag, tree in guest.by_flag():
        mark = marks.mark_of(tree)
        if mark is None or (wanted := change(mark)) == mark:
            continue
        kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
        guest.domain.setMetadata(kind, written(marks.bare(wanted)), "novacron", marks.URI, flag)
        inactive = libvirt.VIR_DOMAIN_XML_INACTIVE if flag == _CONFIG else 0
        if marks.mark_of(parsed(guest.domain.XMLDesc(inactive))) != wanted:
            raise EffectFailed("libvirt took another mark than it was given")
