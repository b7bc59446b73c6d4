"""A definition as libvirt took it, held against what it was given."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from novacron_agent.providers.kvm import marks
from novacron_agent.providers.kvm.markup import text_of
from novacron_agent.providers.lifecycle import EffectFailed

_KIB = {"MiB": 1024, "KiB": 1, "": 1}
_FOREIGN = "{http://libvirt.org/schemas/domain/qemu/1.0}"


def verify(given: ET.Element, taken: ET.Element) -> None:
    """
    Raises:
        EffectFailed: something is not as it was given.
    """
    for what, wanted, there in zip(
        ("name", "UUID", "memory", "current memory", "CPUs", "kernel", "disks", "cards", "mark"),
        _said(given),
        _said(taken),
        strict=True,
    ):
        if wanted != there:
            raise EffectFailed(f"libvirt took another {what} than it was given")
    if any(element.tag.startswith(_FOREIGN) for element in taken.iter()):
        raise EffectFailed("libvirt took arguments for QEMU that it was not given")


def _said(domain: ET.Element) -> Iterator[object]:
    yield text_of(domain, "name")
    yield text_of(domain, "uuid")
    yield _memory(domain, "memory")
    yield _memory(domain, "currentMemory")
    yield text_of(domain, "vcpu")
    yield tuple(text_of(domain, f"os/{one}") for one in ("kernel", "initrd", "cmdline"))
    yield sorted(map(disk_said, domain.iterfind("devices/disk")))
    yield sorted(map(card_said, domain.iterfind("devices/interface")))
    yield marks.mark_of(domain)


def _memory(domain: ET.Element, tag: str) -> int:
    element = domain.find(tag)
    if element is None:
        return 0
    return int(element.text or 0) * _KIB.get(element.get("unit", ""), 0)


def disk_said(disk: ET.Element) -> tuple[str, ...]:
    source, driver, target = disk.find("source"), disk.find("driver"), disk.find("target")
    where = "" if source is None else source.get("file", source.get("dev", ""))
    kind = "" if driver is None else driver.get("type", "")
    name = "" if target is None else target.get("dev", "")
    return (where, kind, name, str(disk.find("readonly") is not None))


def card_said(card: ET.Element) -> tuple[str, str]:
    source = card.find("source")
    return (card.get("type", ""), "" if source is None else str(sorted(source.attrib.items())))
