"""What a domain's XML says that statistics do not."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

from novacron_agent.providers.kvm.marks import labels_of

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Description:
    """`macs`: {the host's interface name: MAC}, of a running domain; `memory` in bytes; `labels`:
    owner and tags of a VM that NovaCron made."""

    cpus: int | None = None
    memory: int | None = None
    macs: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def described(xml: str) -> Description:
    """libvirt writes sizes in KiB, whatever the domain was defined with."""
    domain = ET.fromstring(xml)
    vcpu, memory = domain.find("vcpu"), domain.find("memory")
    cpus = None if vcpu is None else vcpu.get("current") or vcpu.text
    size = None if memory is None else memory.text
    return Description(
        int(cpus) if cpus else None,
        int(size) * _KIB if size else None,
        _macs(domain),
        labels_of(domain),
    )


def _macs(domain: ET.Element) -> dict[str, str]:
    found = {}
    for interface in domain.iterfind("devices/interface"):
        target, mac = interface.find("target"), interface.find("mac")
        if target is not None and mac is not None:
            found[target.get("dev", "")] = mac.get("address", "").lower()
    return found
