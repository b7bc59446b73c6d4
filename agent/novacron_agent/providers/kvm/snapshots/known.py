"""Snapshots as libvirt knows them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import libvirt

from novacron_agent.providers.kvm.markup import parsed, text_of

MAX_DETAIL = 12 * 1024  # bytes of a list as JSON
_MADE_BY = "made by NovaCron, command "
_LEFT_OF = "left of command "
_STATES = {"shutoff": "stopped"}


@dataclass(frozen=True, slots=True)
class Known:
    """`state`: of the VM, as it will be after going back. `is_external`: in files beside its disks,
    or only of its memory."""

    name: str
    state: str
    has_memory: bool
    created: int
    parent: str
    description: str
    is_external: bool

    def is_of(self, command_id: str) -> bool:
        return self.description == mark(command_id)

    def as_json(self) -> dict[str, Any]:
        return {
            "snapshot": self.name[:255],
            "state": self.state,
            "memory": self.has_memory,
            "created": _moment(self.created),
            "parent": self.parent[:255] or None,
        }


def mark(command_id: str) -> str:
    """The description by which a command knows its snapshot again."""
    return _MADE_BY + command_id


def mark_of_left(command_id: str) -> str:
    """The description of what is left of it in images, while libvirt is told to remove that."""
    return _LEFT_OF + command_id


def known(snapshot: libvirt.virDomainSnapshot) -> Known:
    return read(parsed(snapshot.getXMLDesc(0)))


def read(tree: ET.Element) -> Known:
    state, created = text_of(tree, "state"), text_of(tree, "creationTime")
    memory = tree.find("memory")
    kept = memory.get("snapshot", "") if memory is not None else ""
    disks = {one.get("snapshot") for one in tree.iterfind("disks/disk")}
    return Known(
        name=text_of(tree, "name"),
        state=_STATES.get(state, state)[:40],
        has_memory=kept in ("internal", "external"),
        created=int(created) if created.isascii() and created.isdigit() else 0,
        parent=text_of(tree, "parent/name"),
        description=text_of(tree, "description"),
        is_external=state == "disk-snapshot" or kept == "external" or "external" in disks,
    )


def all_known(domain: libvirt.virDomain) -> list[Known]:
    """The oldest first; what was made in the same second after what it was made on."""
    found = []
    for snapshot in domain.listAllSnapshots(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL):
        try:
            found.append(known(snapshot))
        except libvirt.libvirtError as err:
            if err.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:  # gone since
                raise
    return sorted(found, key=lambda one: one.created)


def lookup(domain: libvirt.virDomain, name: str) -> libvirt.virDomainSnapshot | None:
    try:
        return domain.snapshotLookupByName(name)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT:
            return None
        raise


def as_detail(name: str, items: list[Any]) -> dict[str, Any]:
    """Cut where it is too long for a report, with the number of what is left out."""
    told: list[Any] = []
    room = MAX_DETAIL
    for item in items:
        room -= len(json.dumps(item)) + 2
        if room < 0:
            return {name: told, "more": len(items) - len(told)}
        told.append(item)
    return {name: told}


def _moment(seconds: int) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None
