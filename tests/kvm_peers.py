"""What `virsh domstats` and collectd's plugin `virt` tell of guests, in the agent's words."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from novacron_agent.readings import Attributes, Reading

Name = tuple[str, frozenset[tuple[str, str | int | float]]]  # a metric, and its attributes
Figures = dict[Name, float]
Column = tuple[str, Attributes, float]  # the agent's metric, what is known of it, theirs by ours

_KIB, _NS, _MS = 1024, 1e-9, 1e-3
_READ, _WRITE = {"disk.io.direction": "read"}, {"disk.io.direction": "write"}
_IN, _OUT = {"network.io.direction": "receive"}, {"network.io.direction": "transmit"}
_MAJOR, _MINOR = ({"system.paging.fault.type": kind} for kind in ("major", "minor"))
_SWAPPED_IN, _SWAPPED_OUT = ({"system.paging.direction": way} for way in ("in", "out"))
_STATES = {1: "running", 3: "paused", 5: "stopped"}
_OFF = "5"

DOMSTATS: dict[str, Column] = {
    "cpu.time": ("vm.cpu.time", {}, _NS),
    "vcpu.current": ("vm.cpu.count", {}, 1),
    "vcpu.N.time": ("libvirt.vcpu.time", {}, _NS),
    "vcpu.N.wait": ("libvirt.vcpu.wait_time", {}, _NS),
    "vcpu.N.delay": ("libvirt.vcpu.delay_time", {}, _NS),
    "balloon.maximum": ("vm.memory.limit", {}, _KIB),
    "balloon.current": ("libvirt.memory.balloon", {}, _KIB),
    "balloon.rss": ("libvirt.memory.rss", {}, _KIB),
    "balloon.unused": ("libvirt.memory.unused", {}, _KIB),
    "balloon.usable": ("libvirt.memory.usable", {}, _KIB),
    "balloon.disk_caches": ("libvirt.memory.disk_caches", {}, _KIB),
    "balloon.major_fault": ("libvirt.memory.faults", _MAJOR, 1),
    "balloon.minor_fault": ("libvirt.memory.faults", _MINOR, 1),
    "balloon.swap_in": ("libvirt.memory.swap", _SWAPPED_IN, _KIB),
    "balloon.swap_out": ("libvirt.memory.swap", _SWAPPED_OUT, _KIB),
    "block.N.rd.bytes": ("vm.disk.io", _READ, 1),
    "block.N.wr.bytes": ("vm.disk.io", _WRITE, 1),
    "block.N.rd.reqs": ("vm.disk.operations", _READ, 1),
    "block.N.wr.reqs": ("vm.disk.operations", _WRITE, 1),
    "block.N.rd.times": ("vm.disk.operation_time", _READ, _NS),
    "block.N.wr.times": ("vm.disk.operation_time", _WRITE, _NS),
    "block.N.fl.reqs": ("libvirt.disk.flush.operations", {}, 1),
    "block.N.fl.times": ("libvirt.disk.flush.operation_time", {}, _NS),
    "block.N.capacity": ("vm.disk.limit", {}, 1),
    "block.N.physical": ("vm.disk.usage", {}, 1),
    "net.N.rx.bytes": ("vm.network.io", _IN, 1),
    "net.N.tx.bytes": ("vm.network.io", _OUT, 1),
    "net.N.rx.pkts": ("vm.network.packet.count", _IN, 1),
    "net.N.tx.pkts": ("vm.network.packet.count", _OUT, 1),
    "net.N.rx.errs": ("vm.network.errors", _IN, 1),
    "net.N.tx.errs": ("vm.network.errors", _OUT, 1),
    "net.N.rx.drop": ("vm.network.packet.dropped", _IN, 1),
    "net.N.tx.drop": ("vm.network.packet.dropped", _OUT, 1),
}
# By collectd's types; where the type's instance is a part of the guest, it is `N` here.
COLLECTD: dict[str, tuple[Column, ...]] = {
    "virt_cpu_total": (("vm.cpu.time", {}, _NS),),
    "virt_vcpu-N": (("libvirt.vcpu.time", {}, _NS),),
    "memory-actual_balloon": (("libvirt.memory.balloon", {}, 1),),
    "memory-rss": (("libvirt.memory.rss", {}, 1),),
    "memory-unused": (("libvirt.memory.unused", {}, 1),),
    "memory-usable": (("libvirt.memory.usable", {}, 1),),
    "memory-disk_caches": (("libvirt.memory.disk_caches", {}, 1),),
    "disk_octets-N": (("vm.disk.io", _READ, 1), ("vm.disk.io", _WRITE, 1)),
    "disk_ops-N": (("vm.disk.operations", _READ, 1), ("vm.disk.operations", _WRITE, 1)),
    "disk_time-N": (
        ("vm.disk.operation_time", _READ, _NS),
        ("vm.disk.operation_time", _WRITE, _NS),
    ),
    "total_requests-flush-N": (("libvirt.disk.flush.operations", {}, 1),),
    "total_time_in_ms-flush-N": (("libvirt.disk.flush.operation_time", {}, _MS),),
    "disk_capacity-N": (("vm.disk.limit", {}, 1),),
    "if_octets-N": (("vm.network.io", _IN, 1), ("vm.network.io", _OUT, 1)),
    "if_packets-N": (("vm.network.packet.count", _IN, 1), ("vm.network.packet.count", _OUT, 1)),
    "if_errors-N": (("vm.network.errors", _IN, 1), ("vm.network.errors", _OUT, 1)),
    "if_dropped-N": (("vm.network.packet.dropped", _IN, 1), ("vm.network.packet.dropped", _OUT, 1)),
}


def figures(reading: Reading) -> Figures:
    """The agent's."""
    return {(s.metric.name, frozenset(s.attributes.items())): s.value for s in reading.samples}


def virsh(uri: str, *arguments: str) -> str:
    return subprocess.check_output(("virsh", "--connect", uri, *arguments), text=True)


def domstats(uri: str, name: str) -> Figures:
    """What `virsh domstats` tells of a guest."""
    lines = virsh(uri, "domstats", "--raw", name).splitlines()
    stats = dict(line.strip().split("=", 1) for line in lines if "=" in line)
    interfaces = re.findall(r"^ *(\S+) .* (\S+)$", virsh(uri, "domiflist", name), re.MULTILINE)
    found: Figures = {_name("vm.state", {"vm.state": _STATES[int(stats["state.state"])]}): 1}
    columns = dict(DOMSTATS)
    if stats["state.state"] == _OFF:  # then the one is the file's length, the other what it takes
        columns["block.N.allocation"] = columns.pop("block.N.physical")
    for key, value in stats.items():
        column = columns.get(re.sub(r"\.\d+\.", ".N.", key))
        if column is not None:
            found |= _figure(column, _part(key, stats, dict(interfaces)), float(value))
    if "balloon.usable" in stats:
        used = int(stats["balloon.available"]) - int(stats["balloon.usable"])
        found[_name("vm.memory.usage", {})] = used * _KIB
    return found


def _part(key: str, stats: Mapping[str, str], macs: Mapping[str, str]) -> Attributes:
    match key.split("."):
        case "vcpu", number, _:
            return {"cpu.logical_number": int(number)}
        case "block", number, *_:
            return {"system.device": stats[f"block.{number}.name"]}
        case "net", number, *_:
            return {"network.interface.mac": macs[stats[f"net.{number}.name"]]}
    return {}


def _figure(column: Column, part: Attributes, value: float) -> Figures:
    metric, attributes, scale = column
    return {_name(metric, {**attributes, **part}): value * scale}


def _name(metric: str, attributes: Attributes) -> Name:
    return metric, frozenset(attributes.items())


@dataclass(frozen=True)
class Collectd:
    """Its plugin `csv` writes a line for each figure and second: the time, and what it is."""

    folder: Path

    def figures(self, uuid: str, *, after: float = 0) -> Figures:
        """The last ones of a guest, which were read after so many seconds of the epoch."""
        found: Figures = {}
        for file in sorted(self.folder.glob(f"lab/virt-{uuid}/*")):  # one for each day
            columns, part = _collectd_columns(file.name[: -len("-2000-01-01")])
            rows = file.read_text().splitlines()[1:]
            seconds, *told = rows[-1].split(",") if rows else ["0"]
            if columns and float(seconds) > after:
                for column, value in zip(columns, told, strict=True):
                    found |= _figure(column, part, float(value))
        return found


def _collectd_columns(name: str) -> tuple[tuple[Column, ...], Attributes]:
    if name in COLLECTD:
        return COLLECTD[name], {}
    kind, _, which = name.partition("-")
    if which.startswith("flush-"):
        kind, which = f"{kind}-flush", which.removeprefix("flush-")
    columns = COLLECTD.get(f"{kind}-N", ())
    if kind.startswith("if_"):
        return columns, {"network.interface.mac": which}
    if kind == "virt_vcpu":
        return columns, {"cpu.logical_number": int(which)}
    return columns, {"system.device": which}


_CONFIGURATION = """
Hostname "lab"
FQDNLookup false
BaseDir "{place}"
PIDFile "{place}/pid"
PluginDir "/usr/lib/collectd"
TypesDB "/usr/share/collectd/types.db"
Interval 1
LoadPlugin csv
<Plugin csv>
  DataDir "{place}/csv"
  StoreRates false
</Plugin>
LoadPlugin virt
<Plugin virt>
  Connection "{uri}"
  RefreshInterval 1
  HostnameFormat "hostname"
  PluginInstanceFormat "uuid"
  InterfaceFormat "address"
  ExtraStats "disk disk_capacity memory vcpu"
</Plugin>
"""


@contextmanager
def collectd(uri: str, place: Path) -> Iterator[Collectd]:
    configuration = place / "collectd.conf"
    configuration.write_text(_CONFIGURATION.format(place=place, uri=uri))
    with subprocess.Popen(("/usr/sbin/collectd", "-f", "-C", configuration)) as running:
        try:
            yield Collectd(place / "csv")
        finally:
            running.terminate()
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()
