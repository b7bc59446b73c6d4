"""What of a VM's definition is other than it was when a snapshot was made."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import libvirt

from novacron_agent.providers.kvm.markup import parsed, text_of
from novacron_agent.providers.kvm.snapshots.images import written_by

_SIZES = (("vcpu", "virtual CPUs"), ("memory", "memory"), ("os/type", "kind of machine"))
_SHOWN = 100  # characters of one


def definition_in(snapshot: libvirt.virDomainSnapshot) -> ET.Element | None:
    """As it is when it is off: of a VM that ran both are kept. None: neither is."""
    tree = parsed(snapshot.getXMLDesc(0))
    found = tree.find("inactiveDomain")
    return tree.find("domain") if found is None else found


def differences(now: ET.Element, then: ET.Element) -> list[str]:
    """In words; what libvirt itself changes, as addresses and aliases, is none."""
    found = [name for path, name in _SIZES if _size(now, path) != _size(then, path)]
    for kind, of_now, of_then in (
        ("disk", dict(_disks(now)), dict(_disks(then))),
        ("network card", dict(_interfaces(now)), dict(_interfaces(then))),
    ):
        for name in sorted(of_now.keys() | of_then.keys()):
            if of_now.get(name) != of_then.get(name):
                found.append(f"{kind} {name}"[:_SHOWN] + _how(name in of_now, name in of_then))
    return found


def _size(domain: ET.Element, path: str) -> tuple[str, str]:
    """Of CPUs and memory also how much of it is given: what has room is resized by that alone."""
    found = domain.find(path)
    given = "" if found is None else found.get("current", "")
    return text_of(domain, path), text_of(domain, "currentMemory") if path == "memory" else given


def _how(is_now: bool, was_then: bool) -> str:
    if is_now and was_then:
        return ""
    return " (new since)" if is_now else " (gone since)"


def _disks(domain: ET.Element) -> Iterator[tuple[str, object]]:
    """Media that are only read may have been changed."""
    for disk in written_by(domain):
        yield disk.target, (disk.format, disk.path, disk.pool, disk.volume)


def _interfaces(domain: ET.Element) -> Iterator[tuple[str, object]]:
    for interface in domain.iterfind("devices/interface"):
        mac, source = interface.find("mac"), interface.find("source")
        where = ("", "") if source is None else (source.get("network"), source.get("bridge"))
        yield ("?" if mac is None else mac.get("address", "").lower()), where
