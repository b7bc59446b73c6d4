"""The spec of a VM. A path of the host cannot be said in it, nor what QEMU is called with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from novacron_contract.vm_spec.shapes import (
    Choice,
    Flag,
    Many,
    Number,
    Record,
    Text,
    Whole,
    Words,
    as_json,
    member,
)

MAX_TEXT = 64 * 1024  # of user data
MAX_MIB = 64 * 1024 * 1024
MAX_VCPUS = 1024
NAME = Text(
    most=128,
    pattern=r"[^\s/\\.\-][^/\\]*(?<!\s)",
    allowed="a name without '/' and '\\', that begins with neither '.', '-' nor a space",
)
_STORED = Text(most=255, pattern=r"(?!\.{1,2}$)[^/]+", allowed="a name without '/'")
_KEY = Text(most=63, pattern=r"[A-Za-z0-9][A-Za-z0-9._/-]*", allowed="letters, digits, . _ / -")
_WORD = Text(most=64, pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*", allowed="letters, digits, . _ -")
_IFNAME = Text(most=15, pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*", allowed="the name of a bridge")
MAC = Text(
    most=17,
    least=17,
    pattern=r"[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}",
    allowed="the MAC address of one card, such as 52:54:00:12:34:56",
)


class Format(StrEnum):
    QCOW2 = "qcow2"
    RAW = "raw"


class Bus(StrEnum):
    VIRTIO = "virtio"
    SCSI = "scsi"
    SATA = "sata"


class Cache(StrEnum):
    NONE = "none"
    WRITEBACK = "writeback"
    WRITETHROUGH = "writethrough"
    DIRECTSYNC = "directsync"
    UNSAFE = "unsafe"


class Discard(StrEnum):
    UNMAP = "unmap"
    IGNORE = "ignore"


class Device(StrEnum):
    DISK = "disk"
    CDROM = "cdrom"


class Model(StrEnum):
    VIRTIO = "virtio"
    E1000E = "e1000e"
    E1000 = "e1000"
    RTL8139 = "rtl8139"


class Firmware(StrEnum):
    BIOS = "bios"
    EFI = "efi"


class Virtualization(StrEnum):
    AUTO = "auto"
    KVM = "kvm"
    QEMU = "qemu"


Refusal = tuple[str, str]  # of which member, and why; ("", "") where nothing stands against it


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One that is there already."""

    pool: str = member(_STORED, "a storage pool of the host", "default")
    volume: str = member(_STORED, "the volume's name in it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """New by its size, or made from a volume, or one that is there."""

    RULES: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"required": ["size_gib"], "not": {"anyOf": [
                {"required": [one]} for one in ("clone", "linked", "volume")]}},
            *({"required": [one], "not": {"anyOf": [
                {"required": [other]} for other in ("clone", "linked", "volume") if other != one]}}
              for one in ("clone", "linked", "volume")),
        ]
    }  # fmt: skip

    size_gib: float | None = member(
        Number(least=1 / 1024, most=65536),
        "of a new disk; of a clone: what it is grown to",
        None,
    )
    pool: str = member(_STORED, "where a new disk is made; a clone is made beside its source",
                       "default")  # fmt: skip
    format: Format = member(Choice(Format), "of a new disk", Format.QCOW2)
    clone: Volume | None = member(Record(Volume), "a full copy of this volume", None)
    linked: Volume | None = member(
        Record(Volume), "built on this volume, which must not change any more", None
    )
    volume: Volume | None = member(
        Record(Volume), "this volume itself; it stays when the VM is deleted", None
    )
    device: Device = member(Choice(Device), "a cdrom is a volume that is only read", Device.DISK)
    bus: Bus | None = member(Choice(Bus), "default: virtio, of a cdrom sata", None)
    cache: Cache | None = member(Choice(Cache), "default: the hypervisor's", None)
    discard: Discard | None = member(
        Choice(Discard), "whether space that the guest frees is given back", None
    )

    def refusal(self) -> Refusal:
        made_from = [one for one in (self.clone, self.linked, self.volume) if one is not None]
        if len(made_from) > 1:
            return "", "clone, linked and volume: one of them"
        if not made_from and self.size_gib is None:
            return "", "expected size_gib (a new disk), or one of clone, linked, volume"
        if self.volume is not None and self.size_gib is not None:
            return "size_gib", "a volume that is there is used as it is"
        if self.device is Device.CDROM and self.volume is None:
            return "device", "a cdrom is a volume that is there: expected volume"
        if self.device is Device.CDROM and self.bus is Bus.VIRTIO:
            return "bus", "a cdrom is at sata or scsi"
        return "", ""

    @property
    def where(self) -> str:
        """The pool that it is in, or will be."""
        source = self.clone or self.linked or self.volume
        return source.pool if source else self.pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """In KiB a second; the burst in KiB."""

    average_kib: int = member(Whole(least=1, most=2**31 - 1), "KiB a second")
    peak_kib: int | None = member(Whole(least=1, most=2**31 - 1), "KiB a second, for a burst", None)
    burst_kib: int | None = member(Whole(least=1, most=2**31 - 1), "KiB at peak speed", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    RULES: ClassVar[dict[str, Any]] = {
        "oneOf": [{"required": ["network"]}, {"required": ["bridge"]}]
    }

    network: str | None = member(_STORED, "a network of the host's libvirt", None)
    bridge: str | None = member(_IFNAME, "a bridge of the host", None)
    mac: str | None = member(MAC, "default: one that libvirt chooses", None)
    model: Model = member(Choice(Model), "of the card", Model.VIRTIO)
    inbound: Bandwidth | None = member(Record(Bandwidth), "to the guest", None)
    outbound: Bandwidth | None = member(Record(Bandwidth), "from the guest", None)

    def refusal(self) -> Refusal:
        if (self.network is None) == (self.bridge is None):
            return "", "expected either network or bridge"
        return "", ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    sockets: int = member(Whole(least=1, most=1024), "", 1)
    cores: int = member(Whole(least=1, most=1024), "of a socket", 1)
    threads: int = member(Whole(least=1, most=64), "of a core", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """A kernel that is started without a boot loader."""

    kernel: Volume = member(Record(Volume), "a volume that holds a kernel")
    initrd: Volume | None = member(Record(Volume), "a volume that holds its initrd", None)
    cmdline: str = member(Text(most=2047, least=0), "what the kernel is told", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudInit:
    """A NoCloud seed. `instance-id` and `local-hostname` are made of the VM's UUID and name."""

    user_data: str = member(
        Text(most=MAX_TEXT, least=0, has_lines=True), "as cloud-init takes it: #cloud-config …", ""
    )
    network_config: str | None = member(
        Text(most=MAX_TEXT, least=0, has_lines=True), "as cloud-init takes it", None
    )
    meta_data: Mapping[str, str] = member(
        Words(name=_KEY, value=Text(most=1024, least=0), most=32), "more of it", {}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VmSpec:
    name: str = member(NAME, "the VM's name, unlike any other on its host")
    vcpus: int = member(Whole(least=1, most=MAX_VCPUS), "virtual CPUs", 1)
    topology: Topology | None = member(
        Record(Topology), "how they are arranged; sockets × cores × threads are vcpus", None
    )
    memory_mib: int = member(Whole(least=1, most=MAX_MIB), "memory")
    max_memory_mib: int | None = member(
        Whole(least=1, most=MAX_MIB), "what the balloon may give it at most", None
    )
    disks: tuple[Disk, ...] = member(Many(of=Record(Disk), most=26), "in their order", ())
    networks: tuple[Network, ...] = member(Many(of=Record(Network), most=16), "in their order", ())
    firmware: Firmware = member(Choice(Firmware), "", Firmware.BIOS)
    machine: str | None = member(_WORD, "such as q35; default: the hypervisor's", None)
    cpu: str | None = member(
        _WORD, "host-model, host-passthrough, or a model that libvirt knows", None
    )
    virtualization: Virtualization = member(
        Choice(Virtualization), "auto: kvm where a guest runs with it", Virtualization.AUTO
    )
    boot: Boot | None = member(Record(Boot), "a kernel, in place of what is on the disks", None)
    guest_agent: bool = member(Flag(), "a channel for the QEMU guest agent", True)
    balloon_stats_s: int = member(
        Whole(least=0, most=3600), "the guest tells of its memory so often; 0: never", 10
    )
    cloud_init: CloudInit | None = member(Record(CloudInit), "a NoCloud seed", None)
    autostart: bool = member(Flag(), "started with its host", False)
    owner: str = member(Text(most=128, least=0), "whose it is", "")
    tags: Mapping[str, str] = member(
        Words(name=_KEY, value=Text(most=256, least=0), most=64), "names and values", {}
    )
    start: bool = member(Flag(), "started once it is made", True)
    paused: bool = member(Flag(), "started, and not let go yet", False)

    def refusal(self) -> Refusal:
        of = self.topology
        if of and of.sockets * of.cores * of.threads != self.vcpus:
            return "topology", f"sockets × cores × threads must be vcpus ({self.vcpus})"
        if self.max_memory_mib is not None and self.max_memory_mib < self.memory_mib:
            return "max_memory_mib", f"expected memory_mib ({self.memory_mib}) or more"
        if self.paused and not self.start:
            return "paused", "only what is started can be paused"
        macs = [one.mac.lower() for one in self.networks if one.mac]
        if len(set(macs)) < len(macs):
            return "networks", "two have the same MAC address"
        there = [(disk.volume.pool, disk.volume.volume) for disk in self.disks if disk.volume]
        if len(set(there)) < len(there):
            return "disks", "two are the same volume"
        return "", ""

    def as_json(self) -> dict[str, Any]:
        """What is not as by default; `parse` makes the same spec of it."""
        return as_json(self)

    @property
    def pools(self) -> tuple[str, ...]:
        """Every pool that it needs, the first for the seed."""
        boot = [self.boot.kernel, self.boot.initrd] if self.boot else []
        named = [disk.where for disk in self.disks] + [one.pool for one in boot if one]
        return tuple(dict.fromkeys(named)) or ("default",)

    def volumes(self) -> Iterator[Volume]:
        """Those that have to be there."""
        for disk in self.disks:
            yield from (one for one in (disk.clone, disk.linked, disk.volume) if one)
        if self.boot:
            yield from (one for one in (self.boot.kernel, self.boot.initrd) if one)
