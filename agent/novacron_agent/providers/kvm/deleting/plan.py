"""What goes with a VM and why, and what stays and why."""

from __future__ import annotations

import contextlib
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import libvirt

from novacron_agent.providers.kvm.domain import look
from novacron_agent.providers.kvm.marks import Mark, mark_of, prefix
from novacron_agent.providers.kvm.markup import parsed, text_of
from novacron_agent.providers.kvm.owned import volumes_of
from novacron_agent.providers.kvm.uses import against_removal, nvram_of, nvram_user, overlays, users
from novacron_agent.providers.kvm.volumes import Found, found, real, refresh_all, shown
from novacron_agent.providers.lifecycle import NotPossible, VmNotFound

MAX_DETAIL = 12 * 1024  # bytes of both lists as JSON
_WITH_IT = "it was created with the VM"
_KEPT = "its volumes are to be kept"
_MAY_BE_USED = (
    "no VM of this UUID is defined here, and one that has moved to another host may use it; once "
    "none does: virsh vol-delete"
)


@dataclass(frozen=True, slots=True)
class Item:
    """`kind`: power, volume, snapshot, checkpoint, managed save, nvram, tpm, definition."""

    kind: str
    name: str
    why: str

    def as_json(self) -> dict[str, str]:
        return {"kind": self.kind, "name": self.name[:255], "why": self.why[:500]}


@dataclass(slots=True)
class Plan:
    """In the order in which it goes. `volumes`: those that go, each with its pool and name, with
    `paths`, their real ones."""

    is_defined: bool = False
    is_active: bool = False
    is_persistent: bool = True
    keeps_state: bool = False  # NVRAM, and what its TPM knows
    goes: list[Item] = field(default_factory=list)
    stays: list[Item] = field(default_factory=list)
    volumes: list[tuple[str, str]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)

    def as_json(self) -> dict[str, Any]:
        """Cut where it is too long for a report, with the number of what is left out."""
        said: dict[str, Any] = {"plan": [], "kept": []}
        room, more = MAX_DETAIL, 0
        for key, items in (("plan", self.goes), ("kept", self.stays)):
            for item in items:
                one = item.as_json()
                room -= len(json.dumps(one)) + 2
                if room < 0:
                    more += 1
                else:
                    said[key].append(one)
        return said | ({"more": more} if more else {})


def plan(conn: libvirt.virConnect, vm_id: str, *, keep_volumes: bool) -> Plan:
    """
    Raises:
        VmNotFound: nothing of it is here.
        Elsewhere: it is on its way to another host.
    """
    refresh_all(conn)
    domain = _domain(conn, vm_id)
    if domain is None:
        return _left(conn, vm_id)
    tree = parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    made = Plan(
        is_defined=True,
        is_active=not look(domain).is_off,
        is_persistent=bool(domain.isPersistent()),
    )
    if made.is_active:
        made.goes.append(Item("power", domain.name(), "the VM runs"))
    disks = tree.findall("devices/disk")
    _plan_volumes(conn, vm_id, made, mark_of(tree), disks, keep=keep_volumes)
    made.keeps_state = keep_volumes or mark_of(tree) is None
    user = nvram_user(domain)
    for item in _written_by_firmware(tree):
        if user and item.kind == "nvram":
            made.stays.append(replace(item, why=f"VM {shown(user)} uses it"))
        else:
            (made.stays if made.keeps_state else made.goes).append(item)
    made.goes += _of_libvirt(domain)
    return made


def _left(conn: libvirt.virConnect, vm_id: str) -> Plan:
    """Of what is not defined here nothing goes: who uses a pool that hosts share is not seen."""
    names = [f"{one.storagePoolLookupByVolume().name()}/{one.name()}"
             for one in volumes_of(conn, vm_id)]  # fmt: skip
    if not names:
        raise VmNotFound("this host has no such VM")
    return Plan(stays=[Item("volume", name, _MAY_BE_USED) for name in names])


def _plan_volumes(
    conn: libvirt.virConnect,
    vm_id: str,
    made: Plan,
    mark: Mark | None,
    disks: list[ET.Element],
    *,
    keep: bool,
) -> None:
    owned = {one.path(): found(one) for one in volumes_of(conn, vm_id)}
    on_top = _written_on_top(conn, owned, disks)
    going = [*on_top, *owned.values()]
    others, above = (users(conn, vm_id), overlays(conn)) if going else ([], [])
    real_paths = {real(one.path) for one in going}
    for one in going:
        why = _WITH_IT if one.path in owned else "a snapshot of what was created with the VM"
        against = _KEPT if keep and not one.name.endswith("-seed.img") else ""
        against = against or against_removal(one, others, above, real_paths)
        if against:
            made.stays.append(Item("volume", f"{one.pool}/{one.name}", against))
        else:
            made.goes.append(Item("volume", f"{one.pool}/{one.name}", why))
            made.volumes.append((one.pool, one.name))
            made.paths.add(real(one.path))
    paths = {one.path for one in going}
    for disk in disks:
        source = disk.find("source")
        name = "" if source is None else _name(source)
        if name and name not in paths:
            made.stays.append(Item("volume", name, "it was not created with the VM"))
    for where in mark.owned if mark else ():
        if where.volume.startswith(prefix(vm_id)) and not _is_active(conn, where.pool):
            why = f"its pool {shown(where.pool)} is not active"
            made.stays.append(Item("volume", f"{where.pool}/{where.volume}", why))


def _written_on_top(
    conn: libvirt.virConnect, owned: dict[str, Found], disks: list[ET.Element]
) -> list[Found]:
    """Volumes that the VM writes now, built on what was created with it: the uppermost first."""
    tops: list[Found] = []
    for disk in disks:
        path = _path(disk)
        chain: list[Found] = []
        while path and path not in owned and len(chain) < 32:
            with contextlib.suppress(libvirt.libvirtError, NotPossible):
                chain.append(found(conn.storageVolLookupByPath(path)))
                path = chain[-1].backing
                continue
            path = ""
        if path in owned:
            tops += chain
    return tops


def _written_by_firmware(tree: ET.Element) -> Iterator[Item]:
    """Without it a disk that the guest has encrypted is of no use."""
    nvram = nvram_of(tree)
    if nvram:
        yield Item("nvram", nvram, "the settings of its firmware")
    if tree.find("devices/tpm/backend[@type='emulator']") is not None:
        yield Item("tpm", text_of(tree, "name"), "what its TPM knows")


def _of_libvirt(domain: libvirt.virDomain) -> Iterator[Item]:
    """What libvirt keeps of it, which goes with its definition."""
    why = "of this VM alone"
    with contextlib.suppress(libvirt.libvirtError):
        for snapshot in domain.listAllSnapshots():
            yield Item("snapshot", snapshot.getName(), f"{why}: what libvirt knows of it")
    with contextlib.suppress(libvirt.libvirtError):
        for checkpoint in domain.listAllCheckpoints():
            yield Item("checkpoint", checkpoint.getName(), f"{why}: what libvirt knows of it")
    with contextlib.suppress(libvirt.libvirtError):
        if domain.hasManagedSaveImage():
            yield Item("managed save", domain.name(), f"{why}: its saved memory")
    yield Item("definition", domain.name(), "the VM itself")


def _domain(conn: libvirt.virConnect, vm_id: str) -> libvirt.virDomain | None:
    try:
        return conn.lookupByUUIDString(vm_id)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _is_active(conn: libvirt.virConnect, pool: str) -> bool:
    with contextlib.suppress(libvirt.libvirtError):
        return bool(conn.storagePoolLookupByName(pool).isActive())
    return False


def _name(source: ET.Element) -> str:
    if source.get("pool") is not None:
        return f"{source.get('pool')}/{source.get('volume')}"
    return source.get("file") or source.get("dev") or source.get("name") or ""


def _path(disk: ET.Element) -> str:
    source = disk.find("source")
    return "" if source is None else source.get("file", "")
