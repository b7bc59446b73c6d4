"""libvirt's bulk statistics of one domain -> samples. The keys are those of `virsh domstats`.

Directions: libvirt reads a tap from the host's side and swaps it, so "rx" is what the guest
received; no swap is needed here (tests/agent/test_kvm_lab.py measures it on a live guest).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import libvirt

from novacron_agent.readings import Attributes, Reading, Series, Value, series

Stats = Mapping[str, Any]
Column = tuple[str, Series, float]  # libvirt's key, where it goes, and what it is times the unit

_KIB = 1024
_NS = 1e-9
_UNKNOWN = 2**63  # libvirt's "unsigned -1", and what OTLP's integers cannot hold
# The balloon driver answers every few seconds; older figures are of a guest that hangs or paused.
_BALLOON_AGE_S = 180
_READ, _WRITE = {"disk.io.direction": "read"}, {"disk.io.direction": "write"}
_IN, _OUT = {"network.io.direction": "receive"}, {"network.io.direction": "transmit"}
_MAJOR, _MINOR = ({"system.paging.fault.type": kind} for kind in ("major", "minor"))
_SWAPPED_IN, _SWAPPED_OUT = ({"system.paging.direction": way} for way in ("in", "out"))

_CPU = (("cpu.time", series("vm.cpu.time"), _NS),)
_RSS = (("balloon.rss", series("libvirt.memory.rss"), _KIB),)
_BALLOON = (("balloon.current", series("libvirt.memory.balloon"), _KIB),)
# What the guest's balloon driver tells.
_FROM_INSIDE = (
    ("balloon.unused", series("libvirt.memory.unused"), _KIB),
    ("balloon.usable", series("libvirt.memory.usable"), _KIB),
    ("balloon.disk_caches", series("libvirt.memory.disk_caches"), _KIB),
    ("balloon.major_fault", series("libvirt.memory.faults", _MAJOR), 1),
    ("balloon.minor_fault", series("libvirt.memory.faults", _MINOR), 1),
    ("balloon.swap_in", series("libvirt.memory.swap", _SWAPPED_IN), _KIB),
    ("balloon.swap_out", series("libvirt.memory.swap", _SWAPPED_OUT), _KIB),
)
_VCPU = (
    ("time", "libvirt.vcpu.time"),
    ("wait", "libvirt.vcpu.wait_time"),
    ("delay", "libvirt.vcpu.delay_time"),
)
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
_MS = 1e-3
_OPERATIONS = {
    getattr(libvirt, f"VIR_DOMAIN_JOB_OPERATION_{name.upper()}"): name
    for name in (
        "start", "save", "restore", "migration_in", "migration_out", "snapshot",
        "snapshot_revert", "dump", "backup",
    )
}  # fmt: skip
_JOB = (
    ("time_elapsed", "libvirt.job.elapsed_time", _MS),
    ("downtime", "libvirt.job.downtime", _MS),
    ("data_total", "libvirt.job.data.limit", 1),
    ("data_processed", "libvirt.job.data.processed", 1),
    ("data_remaining", "libvirt.job.data.remaining", 1),
    ("memory_iteration", "libvirt.job.memory.iteration.count", 1),
)


def known(stats: Stats, key: str) -> int | None:
    """The value as libvirt gives it; None where the hypervisor does not know it."""
    value = stats.get(key)
    return value if type(value) is int and 0 <= value < _UNKNOWN else None


def add_cpu(reading: Reading, stats: Stats) -> None:
    _take(reading, stats, _CPU)


def add_rss(reading: Reading, stats: Stats) -> None:
    _take(reading, stats, _RSS)


def add_vcpus(reading: Reading, stats: Stats) -> None:
    for number in range(known(stats, "vcpu.maximum") or 0):
        _take(reading, stats, _vcpu(number))


def add_networks(reading: Reading, stats: Stats, macs: Mapping[str, str]) -> None:
    """`macs`: the MAC behind each of the host's interfaces."""
    for at, name in _named(stats, "net"):
        if mac := macs.get(name):
            _take(reading, stats, _network(at, mac))


def add_memory(reading: Reading, stats: Stats) -> None:
    _take(reading, stats, _BALLOON)
    updated = known(stats, "balloon.last-update")
    if not updated or reading.time_ns / 1e9 - updated > _BALLOON_AGE_S:
        return  # no balloon driver, or it fell silent: what it said is not true any more
    _take(reading, stats, _FROM_INSIDE)
    total = known(stats, "balloon.available")
    free = known(stats, "balloon.usable")  # counts caches the guest would give up
    if free is None:
        free = known(stats, "balloon.unused")
    if total is not None and free is not None and total * _KIB < _UNKNOWN:
        reading.add("vm.memory.usage", max(0, total - free) * _KIB)


def add_disks(reading: Reading, stats: Stats, *, running: bool) -> None:
    """Their sizes hold while the VM is off, too."""
    for at, device in _named(stats, "block"):
        _take(reading, stats, _disk_sizes(at, device, running))
        if running:
            _take(reading, stats, _disk(at, device))


def add_job(reading: Reading, job: Stats) -> None:
    """`job`: of virDomainGetJobStats; empty where the VM is in none."""
    if not job:
        return
    of = {"libvirt.job.operation": _OPERATIONS.get(job.get("operation", 0), "unknown")}
    for key, name, scale in _JOB:
        value = known(job, key)
        if value is not None:
            reading.add(name, value / 1e3 if scale == _MS else value, of)


def interfaces(stats: Stats) -> list[str]:
    """The host's names of the guest's interfaces."""
    return [name for _, name in _named(stats, "net")]


def _take(reading: Reading, stats: Stats, columns: tuple[Column, ...]) -> None:
    """In base units: seconds as a float, the rest as whole numbers."""
    for key, of, scale in columns:
        value = stats.get(key)
        if type(value) is int and 0 <= value < _UNKNOWN > value * scale:  # a guest may say anything
            scaled: Value = value / 1e9 if scale == _NS else value * int(scale)
            reading.series.append(of)
            reading.values.append(scaled)


def _named(stats: Stats, group: str) -> Iterator[tuple[int, str]]:
    for at in range(stats.get(f"{group}.count", 0)):
        name = stats.get(f"{group}.{at}.name")
        if name:
            yield at, str(name)


# -- columns: few of each kind, and the same at every tick ----------------------------------------


@lru_cache(maxsize=1024)
def _vcpu(number: int) -> tuple[Column, ...]:
    of = {"cpu.logical_number": number}
    return tuple((f"vcpu.{number}.{key}", series(name, of), _NS) for key, name in _VCPU)


@lru_cache(maxsize=16384)
def _network(at: int, mac: str) -> tuple[Column, ...]:
    of = {"network.interface.mac": mac}
    return tuple((f"net.{at}.{key}", series(name, {**of, **way}), 1) for key, name, way in _NETWORK)


@lru_cache(maxsize=1024)
def _disk(at: int, device: str) -> tuple[Column, ...]:
    return tuple(
        (f"block.{at}.{key}", series(name, {"system.device": device, **way}), scale)
        for key, name, scale, way in _DISK
    )


@lru_cache(maxsize=1024)
def _disk_sizes(at: int, device: str, running: bool) -> tuple[Column, ...]:
    of = {"system.device": device}
    return (
        (f"block.{at}.capacity", series("vm.disk.limit", of), 1),
        (f"block.{at}.{_SPACE[running]}", series("vm.disk.usage", of), 1),
    )
