"""The definition of a VM: a tree of XML from its spec and the disks that were made for it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from novacron_agent.providers.kvm import marks
from novacron_agent.providers.kvm.markup import add
from novacron_agent.providers.kvm.volumes import Found
from novacron_contract.vm_spec import Bus, Device, Disk, Firmware, Network, VmSpec

LETTERS = {Bus.VIRTIO: "vd", Bus.SCSI: "sd", Bus.SATA: "sd"}
_PORTS = 16  # of PCI Express: each has one device, and none comes while the VM runs
_X86 = ("x86_64", "i686")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a VM is defined from. `disks`: those of the spec in their order, each with its volume;
    `kernel` and `initrd` are paths within pools; `kind`: the type of the domain."""

    vm_id: str
    spec: VmSpec
    mark: marks.Mark
    kind: str
    arch: str
    disks: tuple[tuple[Disk, Found], ...]
    seed: Found | None = None
    kernel: str | None = None
    initrd: str | None = None


def definition(made: Made) -> ET.Element:
    spec = made.spec
    domain = ET.Element("domain", type=made.kind)
    add(domain, "name", spec.name)
    add(domain, "uuid", made.vm_id)
    marks.write(add(domain, "metadata"), made.mark)
    add(domain, "memory", spec.max_memory_mib or spec.memory_mib, unit="MiB")
    add(domain, "currentMemory", spec.memory_mib, unit="MiB")
    add(domain, "vcpu", spec.vcpus)
    _os(domain, made)
    if made.arch in _X86:
        features = add(domain, "features")
        add(features, "acpi")
        add(features, "apic")
    _cpu(domain, made)
    add(domain, "clock", offset="utc")
    _devices(add(domain, "devices"), made)
    return domain


def _os(domain: ET.Element, made: Made) -> None:
    spec = made.spec
    firmware = "efi" if spec.firmware is Firmware.EFI else None
    within = add(domain, "os", firmware=firmware)
    add(within, "type", "hvm", arch=made.arch, machine=spec.machine)
    if made.kernel is not None:
        add(within, "kernel", made.kernel)
        if made.initrd is not None:
            add(within, "initrd", made.initrd)
        if spec.boot and spec.boot.cmdline:
            add(within, "cmdline", spec.boot.cmdline)
        return
    for device in ("hd", "cdrom"):
        add(within, "boot", dev=device)


def _cpu(domain: ET.Element, made: Made) -> None:
    model = made.spec.cpu or ("host-model" if made.kind == "kvm" else None)
    of = made.spec.topology
    if model is None and of is None:
        return
    if model is None:
        cpu = add(domain, "cpu")
    elif model in ("host-model", "host-passthrough", "maximum"):
        cpu = add(domain, "cpu", mode=model)
    else:
        cpu = add(domain, "cpu", mode="custom", match="exact")
        add(cpu, "model", model, fallback="forbid")
    if of is not None:
        add(cpu, "topology", sockets=of.sockets, cores=of.cores, threads=of.threads)


def _devices(devices: ET.Element, made: Made) -> None:
    every = list(made.disks)
    if made.seed is not None:
        every.append((Disk(size_gib=1), made.seed))
    for (disk, found), (bus, target) in zip(
        every, _targets(disk for disk, _ in every), strict=True
    ):
        write_disk(devices, disk, found, bus, target, is_read=found is made.seed)
    if any(bus is Bus.SCSI for bus, _ in _targets(disk for disk, _ in every)):
        add(devices, "controller", type="scsi", model="virtio-scsi")
    if "q35" in (made.spec.machine or ""):
        _ports(devices)
    for network in made.spec.networks:
        write_card(devices, network)
    add(add(devices, "serial", type="pty"), "target", port=0)
    add(add(devices, "console", type="pty"), "target", type="serial", port=0)
    if made.spec.guest_agent:
        channel = add(devices, "channel", type="unix")
        add(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    balloon = add(devices, "memballoon", model="virtio")
    if made.spec.balloon_stats_s:
        add(balloon, "stats", period=made.spec.balloon_stats_s)
    add(add(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")


def _ports(devices: ET.Element) -> None:
    """libvirt adds those that what is defined needs, and one more."""
    add(devices, "controller", type="pci", index=0, model="pcie-root")
    for _ in range(_PORTS):
        add(devices, "controller", type="pci", model="pcie-root-port")


def _targets(disks: Iterable[Disk]) -> Iterator[tuple[Bus, str]]:
    """Each disk's bus, and its name for the host: vda, vdb, sda …"""
    used = {"vd": 0, "sd": 0}
    for disk in disks:
        bus = bus_of(disk)
        letters = LETTERS[bus]
        yield bus, lettered(letters, used[letters])
        used[letters] += 1


def bus_of(disk: Disk) -> Bus:
    return disk.bus or (Bus.SATA if disk.device is Device.CDROM else Bus.VIRTIO)


def lettered(letters: str, number: int) -> str:
    first, last = divmod(number, 26)
    suffix = f"{chr(ord('a') + first - 1)}" if first else ""
    return f"{letters}{suffix}{chr(ord('a') + last)}"


def write_disk(
    devices: ET.Element, disk: Disk, found: Found, bus: Bus, target: str, *, is_read: bool = False
) -> ET.Element:
    element = add(devices, "disk", type=found.kind, device=disk.device.value)
    cache = disk.cache.value if disk.cache else None
    discard = disk.discard.value if disk.discard else None
    add(element, "driver", name="qemu", type=found.format, cache=cache, discard=discard)
    add(element, "source", **{"file" if found.kind == "file" else "dev": found.path})
    add(element, "target", dev=target, bus=bus.value)
    if is_read or disk.device is Device.CDROM:
        add(element, "readonly")
    return element


def write_card(devices: ET.Element, network: Network) -> ET.Element:
    kind = "network" if network.network is not None else "bridge"
    interface = add(devices, "interface", type=kind)
    add(interface, "source", **{kind: network.network or network.bridge})
    if network.mac:
        add(interface, "mac", address=network.mac.lower())
    add(interface, "model", type=network.model.value)
    if network.inbound or network.outbound:
        bandwidth = add(interface, "bandwidth")
        for direction, of in (("inbound", network.inbound), ("outbound", network.outbound)):
            if of is not None:
                add(bandwidth, direction, average=of.average_kib, peak=of.peak_kib,
                    burst=of.burst_kib)  # fmt: skip
    return interface
