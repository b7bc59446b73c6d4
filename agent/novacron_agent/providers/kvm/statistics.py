"""libvirt's bulk statistics of one domain -> samples. The keys are those of `virsh domstats`.

Directions: libvirt reads a tap from the host's side and swaps it, so "rx" is what the guest
received; no swap is needed here (tests/agent/test_kvm_lab.py measures it on a live guest).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from novacron_agent.readings import Attributes, Reading, Value

Stats = Mapping[str, Any]

_KIB = 1024
_NS = 1e-9
_UNKNOWN = 2**63  # libvirt's "unsigned -1", and what OTLP's integers cannot hold
# The balloon driver answers every few seconds; older figures are of a guest that hangs or paused.
_BALLOON_AGE_S = 180

_GUEST = (
    ("cpu.time", "vm.cpu.time", _NS),
    ("balloon.current", "libvirt.memory.balloon", _KIB),
    ("balloon.rss", "libvirt.memory.rss", _KIB),
)
# What the guest's balloon driver tells.
_FROM_INSIDE: tuple[tuple[str, str, float, Attributes], ...] = (
    ("balloon.unused", "libvirt.memory.unused", _KIB, {}),
    ("balloon.usable", "libvirt.memory.usable", _KIB, {}),
    ("balloon.disk_caches", "libvirt.memory.disk_caches", _KIB, {}),
    ("balloon.major_fault", "libvirt.memory.faults", 1, {"system.paging.fault.type": "major"}),
    ("balloon.minor_fault", "libvirt.memory.faults", 1, {"system.paging.fault.type": "minor"}),
    ("balloon.swap_in", "libvirt.memory.swap", _KIB, {"system.paging.direction": "in"}),
    ("balloon.swap_out", "libvirt.memory.swap", _KIB, {"system.paging.direction": "out"}),
)
_VCPU = (
    ("time", "libvirt.vcpu.time", _NS),
    ("wait", "libvirt.vcpu.wait_time", _NS),
    ("delay", "libvirt.vcpu.delay_time", _NS),
)
_READ, _WRITE = {"disk.io.direction": "read"}, {"disk.io.direction": "write"}
# The space an image takes on its storage: of a running VM libvirt calls it "physical" ("allocation"
# is the highest offset written), of one that is off "allocation" ("physical" is the file's length).
_SPACE = {True: "physical", False: "allocation"}
_DISK: tuple[tuple[str, str, float, Attributes], ...] = (
    ("rd.bytes", "vm.disk.io", 1, _READ),
    ("wr.bytes", "vm.disk.io", 1, _WRITE),
    ("rd.reqs", "vm.disk.operations", 1, _READ),
    ("wr.reqs", "vm.disk.operations", 1, _WRITE),
    ("rd.times", "vm.disk.operation_time", _NS, _READ),
    ("wr.times", "vm.disk.operation_time", _NS, _WRITE),
    ("fl.reqs", "libvirt.disk.flush.operations", 1, {}),
    ("fl.times", "libvirt.disk.flush.operation_time", _NS, {}),
)
_IN, _OUT = {"network.io.direction": "receive"}, {"network.io.direction": "transmit"}
_NETWORK = (
    ("rx.bytes", "vm.network.io", _IN),
    ("tx.bytes", "vm.network.io", _OUT),
    ("rx.pkts", "vm.network.packet.count", _IN),
    ("tx.pkts", "vm.network.packet.count", _OUT),
    ("rx.errs", "vm.network.errors", _IN),
    ("tx.errs", "vm.network.errors", _OUT),
    ("rx.drop", "vm.network.packet.dropped", _IN),
    ("tx.drop", "vm.network.packet.dropped", _OUT),
)


def known(stats: Stats, key: str) -> int | None:
    """The value as libvirt gives it; None where the hypervisor does not know it."""
    value = stats.get(key)
    return value if isinstance(value, int) and 0 <= value < _UNKNOWN else None


def scaled(stats: Stats, key: str, scale: float) -> Value | None:
    """The value in base units: seconds as a float, the rest as whole numbers."""
    value = known(stats, key)
    if value is None:
        return None
    return value / 1e9 if scale == _NS else value * int(scale)


def add_size(reading: Reading, stats: Stats, *, running: bool) -> None:
    """How big the VM is, which holds while it is off, too."""
    count = known(stats, "vcpu.current")
    reading.add("vm.cpu.count", known(stats, "vcpu.maximum") if count is None else count)
    reading.add("vm.memory.limit", scaled(stats, "balloon.maximum", _KIB))
    for prefix, device in _named(stats, "block"):
        reading.add("vm.disk.limit", known(stats, prefix + "capacity"), device)
        reading.add("vm.disk.usage", known(stats, prefix + _SPACE[running]), device)


def add_usage(reading: Reading, stats: Stats, macs: Mapping[str, str]) -> None:
    """What only a running VM has. `macs`: the MAC behind each of the host's interfaces."""
    for key, metric, scale in _GUEST:
        reading.add(metric, scaled(stats, key, scale))
    _add_memory(reading, stats)
    _add_vcpus(reading, stats)
    for prefix, device in _named(stats, "block"):
        for key, metric, scale, extra in _DISK:
            reading.add(metric, scaled(stats, prefix + key, scale), {**device, **extra})
    for prefix, interface in _named(stats, "net"):
        mac = macs.get(interface["system.device"])
        for key, metric, direction in _NETWORK if mac else ():
            attributes = {"network.interface.mac": str(mac), **direction}
            reading.add(metric, known(stats, prefix + key), attributes)


def interfaces(stats: Stats) -> list[str]:
    """The host's names of the guest's interfaces."""
    return [interface["system.device"] for _, interface in _named(stats, "net")]


def _add_memory(reading: Reading, stats: Stats) -> None:
    updated = known(stats, "balloon.last-update")
    if not updated or reading.time_ns / 1e9 - updated > _BALLOON_AGE_S:
        return  # no balloon driver, or it fell silent: what it said is not true any more
    for key, metric, scale, attributes in _FROM_INSIDE:
        reading.add(metric, scaled(stats, key, scale), attributes)
    total = scaled(stats, "balloon.available", _KIB)
    free = scaled(stats, "balloon.usable", _KIB)  # counts caches the guest would give up
    if free is None:
        free = scaled(stats, "balloon.unused", _KIB)
    if total is not None and free is not None:
        reading.add("vm.memory.usage", max(0, total - free))


def _add_vcpus(reading: Reading, stats: Stats) -> None:
    for number in range(known(stats, "vcpu.maximum") or 0):
        attributes: Attributes = {"cpu.logical_number": number}
        for key, metric, scale in _VCPU:
            reading.add(metric, scaled(stats, f"vcpu.{number}.{key}", scale), attributes)


def _named(stats: Stats, group: str) -> Iterator[tuple[str, dict[str, str]]]:
    for index in range(stats.get(f"{group}.count", 0)):
        name = stats.get(f"{group}.{index}.name")
        if name:
            yield f"{group}.{index}.", {"system.device": str(name)}
