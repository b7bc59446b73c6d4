"""What a guest has so much of: its CPUs, and its memory."""

from __future__ import annotations

import contextlib
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import ClassVar, Protocol

import libvirt

from novacron_agent.providers.kvm.markup import parsed, text_of

_CONFIG, _LIVE = libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_AFFECT_LIVE
_KIB = 1024  # in a MiB
_FOLLOW_S, _AGAIN_S = 10.0, 0.2
_ROOM = 0.9  # of what a guest says that it could do without
_FRESH_S = 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """`most`: what it can be given without another start."""

    now: int
    most: int


class Dimension(Protocol):
    what: ClassVar[str]

    def defined(self) -> Size:
        """From the next start on."""

    def live(self) -> Size:
        """Of a guest that runs."""

    def against(self, wanted: int) -> str:
        """Why its host, or the guest itself, cannot have so much at all; empty: it can."""

    def against_live(self, wanted: int, live: Size) -> str:
        """Why not before the next start."""

    def define(self, wanted: int, before: Size) -> None: ...

    def change(self, wanted: int) -> None:
        """Of a guest that runs."""

    def followed(self, wanted: int, until: float) -> str:
        """Why the guest that runs is not as it was changed; empty: it is."""


@dataclass(frozen=True, slots=True)
class Cpus:
    domain: libvirt.virDomain
    what: ClassVar[str] = "vcpus"

    def defined(self) -> Size:
        return self._size(_CONFIG)

    def live(self) -> Size:
        return self._size(_LIVE)

    def against(self, wanted: int) -> str:
        most = _most_cpus(self.domain)
        if wanted > most:
            return f"this host gives such a VM {most} CPUs at most"
        if self.domain.isPersistent() and self._is_arranged() and wanted > self.defined().most:
            return (
                f"its CPUs are arranged in a topology or in NUMA cells, {self.defined().most} at "
                "most: change that in its definition first"
            )
        return ""

    def against_live(self, wanted: int, live: Size) -> str:
        if wanted > live.most:
            return f"it was started with room for {live.most}"
        return ""

    def define(self, wanted: int, before: Size) -> None:
        """The most it can have goes with what it has, unless somebody has set them apart. It comes
        first: where it is less than what the VM has, libvirt lowers both at once."""
        both = wanted > before.most or (before.now == before.most and not self._is_arranged())
        steps = [libvirt.VIR_DOMAIN_VCPU_MAXIMUM | _CONFIG, _CONFIG] if both else [_CONFIG]
        for flags in steps:
            self.domain.setVcpusFlags(wanted, flags)

    def change(self, wanted: int) -> None:
        self.domain.setVcpusFlags(wanted, _LIVE)

    def followed(self, wanted: int, until: float) -> str:
        now = self.live().now
        return "" if now == wanted else f"its guest has {now}"

    def _size(self, flags: int) -> Size:
        most = self.domain.vcpusFlags(flags | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
        return Size(int(self.domain.vcpusFlags(flags)), int(most))

    def _is_arranged(self) -> bool:
        tree = _definition(self.domain)
        return any(tree.find(f"cpu/{one}") is not None for one in ("topology", "numa"))


@dataclass(frozen=True, slots=True)
class Memory:
    """In MiB."""

    domain: libvirt.virDomain
    what: ClassVar[str] = "memory_mib"

    def defined(self) -> Size:
        tree = _definition(self.domain)
        most = int(text_of(tree, "memory") or 0)
        return Size(int(text_of(tree, "currentMemory") or most) // _KIB, most // _KIB)

    def live(self) -> Size:
        return Size(int(self.domain.info()[2]) // _KIB, int(self.domain.maxMemory()) // _KIB)

    def against(self, wanted: int) -> str:
        there = int(self.domain.connect().getInfo()[1])
        return f"this host has {there} MiB of memory in all" if wanted > there else ""

    def against_live(self, wanted: int, live: Size) -> str:
        if wanted > live.most:
            return f"it was started with {live.most} MiB at most"
        if wanted > live.now:
            free = _free(self.domain.connect())
            if free is not None and wanted - live.now > free:
                return f"this host has {free} MiB of memory left"
            return ""
        spare = self._spare()
        if spare is None:
            return "its guest does not tell how much it can do without"
        if live.now - wanted > spare * _ROOM:
            return f"its guest can do without {spare:.0f} MiB now, and would have to end programs"
        return ""

    def define(self, wanted: int, before: Size) -> None:
        both = wanted > before.most or before.now == before.most
        steps = [libvirt.VIR_DOMAIN_MEM_MAXIMUM | _CONFIG, _CONFIG] if both else [_CONFIG]
        for flags in steps:
            self.domain.setMemoryFlags(wanted * _KIB, flags)

    def change(self, wanted: int) -> None:
        self.domain.setMemoryFlags(wanted * _KIB, _LIVE)

    def followed(self, wanted: int, until: float) -> str:
        """A guest gives memory back, or takes it, by its balloon's driver, if it has one."""
        until = min(until, time.monotonic() + _FOLLOW_S)
        while (now := self.live().now) != wanted:
            if time.monotonic() >= until or self._is_paused():
                return f"its guest was asked, has {now} MiB still, and may follow yet"
            time.sleep(_AGAIN_S)
        return ""

    def _is_paused(self) -> bool:
        return bool(self.domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED)

    def _spare(self) -> float | None:
        """None: the guest does not tell."""
        with contextlib.suppress(libvirt.libvirtError):
            told = self.domain.memoryStats()
            if "usable" in told and abs(time.time() - told.get("last_update", 0)) < _FRESH_S:
                return float(told["usable"]) / _KIB
        return None


def _definition(domain: libvirt.virDomain) -> ET.Element:
    return parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))


def _most_cpus(domain: libvirt.virDomain) -> int:
    """What its machine takes, where the hypervisor tells it."""
    conn, tree = domain.connect(), parsed(domain.XMLDesc(0))
    kind, of = tree.get("type", ""), tree.find("os/type")
    with contextlib.suppress(libvirt.libvirtError):
        told = conn.getDomainCapabilities(
            text_of(tree, "devices/emulator") or None,
            None if of is None else of.get("arch"),
            None if of is None else of.get("machine"),
            kind,
        )
        vcpu = parsed(told).find("vcpu")
        if vcpu is not None and vcpu.get("max", "").isdecimal():
            return int(vcpu.get("max", "0"))
    return int(conn.getMaxVcpus(kind))


def _free(conn: libvirt.virConnect) -> int | None:
    """In MiB; None: the hypervisor does not tell."""
    try:
        stats = conn.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS, 0)
    except libvirt.libvirtError:
        return None
    return int(sum(stats.get(one, 0) for one in ("free", "buffers", "cached"))) // _KIB or None
