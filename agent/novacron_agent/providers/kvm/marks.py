"""What NovaCron writes into the metadata of a domain it made, and how what it made is named."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from novacron_agent.providers.kvm.markup import add
from novacron_contract.vm_spec.labels import is_taken, labels

_MOST_TAGS = 64
URI = "https://novacron.dev/xmlns/vm/1"
_VM, _OWNER, _TAG, _OWNED = (f"{{{URI}}}{name}" for name in ("vm", "owner", "tag", "owned"))
ET.register_namespace("novacron", URI)


def prefix(vm_id: str) -> str:
    """Of the names of all volumes that were created with a VM: they are found by it, whatever
    became of the VM, and nothing else is ever removed."""
    return f"novacron-{vm_id}-"


def is_raw(volume: str) -> bool:
    """One that was created raw is raw, whatever its guest writes into it: libvirt looks at that,
    and would take it for an image that is built on some file of the host."""
    return volume.startswith("novacron-") and volume.endswith((".raw", ".img"))


@dataclass(frozen=True, slots=True)
class Owned:
    pool: str
    volume: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """`command`: the id of that which made it. `owned`: where its volumes are."""

    command: str
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    owned: tuple[Owned, ...] = ()


def write(metadata: ET.Element, mark: Mark) -> None:
    vm = add(metadata, _VM, command=mark.command)
    if mark.owner:
        add(vm, _OWNER, mark.owner)
    for name, value in mark.tags.items():
        add(vm, _TAG, value, name=name)
    for one in mark.owned:
        add(vm, _OWNED, pool=one.pool, volume=one.volume)


def bare(mark: Mark) -> ET.Element:
    """Without its namespace, which libvirt adds where it is given a part of the metadata alone."""
    whole = ET.Element("metadata")
    write(whole, mark)
    for element in whole.iter():
        element.tag = element.tag.rpartition("}")[2]
    return whole[0]


def labels_of(domain: ET.Element) -> dict[str, str]:
    """Its owner and tags, as labels of its resource."""
    mark = mark_of(domain)
    if mark is None:
        return {}
    tags = {name: value for name, value in mark.tags.items() if not is_taken(name)}
    return labels(mark.owner, dict(islice(tags.items(), _MOST_TAGS)))


def mark_of(domain: ET.Element) -> Mark | None:
    """None: NovaCron did not make it."""
    vm = domain.find(f"metadata/{_VM}")
    if vm is None:
        return None
    return Mark(
        command=vm.get("command", ""),
        owner=vm.findtext(_OWNER, ""),
        tags={one.get("name", ""): one.text or "" for one in vm.findall(_TAG)},
        owned=tuple(
            Owned(one.get("pool", ""), one.get("volume", "")) for one in vm.findall(_OWNED)
        ),
    )
