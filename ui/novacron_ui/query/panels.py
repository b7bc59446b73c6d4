"""Panels: which metrics share a chart, and how its lines are called; those of a Machine page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from novacron_contract.collector_metrics import OUTCOME, REASON
from novacron_store.telemetry.queries import QUANTILE

_DEVICE, _DISK_DIRECTION = "system.device", "disk.io.direction"
_NIC, _MAC, _DIRECTION = "network.interface.name", "network.interface.mac", "network.io.direction"
_WORDS = {"receive": "in", "transmit": "out"}
REASONS = {  # why an agent gave points up (agent/novacron_agent/delivery/batch.py)
    "size": "spool full",
    "age": "waited too long",
    "disk": "disk full",
    "memory": "memory full",
    "refused": "batch refused",
    "rejected": "rejected",
}
_OFTEN_S, _SELDOM_S = 15, 60


@dataclass(frozen=True, slots=True)
class Panel:
    """`unit` is the contract's; a counter is drawn as its rate. `labels`: the attributes that
    name a line; with several metrics each has its own word in `names`. `hidden`: attribute values
    that are not drawn (the idle share of a CPU says nothing that the others do not).
    `quantiles`: of histograms, which are drawn by them. `quiet`: what to say instead of lines that
    are all 0, where a line is drawn only if it ever is not."""

    id: str
    title: str
    metrics: tuple[str, ...]
    unit: str
    is_rate: bool = False
    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    is_share: bool = False  # the axis always reaches 100 %
    quantiles: tuple[float, ...] = ()
    quiet: str = ""

    @property
    def redrawn_every_s(self) -> int:
        """Lines that live points cannot continue are asked for more often."""
        return _OFTEN_S if self.quantiles or self.quiet else _SELDOM_S

    def line_name(self, metric: str, attributes: Mapping[str, str]) -> str:
        words = [_word(label, attributes.get(label, "")) for label in self.labels]
        if self.names:
            words.append(self.names[self.metrics.index(metric)])
        return " ".join(word for word in words if word) or self.title

    def draws(self, attributes: Mapping[str, str]) -> bool:
        return self.hidden.isdisjoint(attributes.values())


def _word(label: str, value: str) -> str:
    if label == QUANTILE:
        return f"p{100 * float(value):g}"
    if label in (OUTCOME, REASON):
        return REASONS.get(value, value.replace("_", " "))
    return _WORDS.get(value, value)


def _io(id_: str, title: str, metric: str, unit: str, *labels: str, **more: Any) -> Panel:
    return Panel(id_, title, (metric,), unit, is_rate=True, labels=labels, **more)


VM_PANELS = (
    Panel("cpu", "CPU", ("vm.cpu.utilization",), "1", is_share=True),
    Panel(
        "memory",
        "Memory",
        ("vm.memory.usage", "libvirt.memory.rss", "vm.memory.limit"),
        "By",
        names=("used in the guest", "held on the host", "limit"),
    ),
    _io("disk", "Disk throughput", "vm.disk.io", "By", _DEVICE, _DISK_DIRECTION),
    _io("network", "Network throughput", "vm.network.io", "By", _MAC, _DIRECTION),
    _io(
        "operations",
        "Disk operations",
        "vm.disk.operations",
        "{operation}",
        _DEVICE,
        _DISK_DIRECTION,
    ),
    _io("packets", "Network packets", "vm.network.packet.count", "{packet}", _MAC, _DIRECTION),
    _io("steal", "Waiting for a host CPU", "libvirt.vcpu.delay_time", "s", "cpu.logical_number"),
    Panel(
        "space",
        "Disk space on the host",
        ("vm.disk.usage", "vm.disk.limit"),
        "By",
        labels=(_DEVICE,),
        names=("used", "size"),
    ),
)

HOST_PANELS = (
    Panel(
        "cpu",
        "CPU by mode",
        ("system.cpu.utilization",),
        "1",
        labels=("cpu.mode",),
        hidden=frozenset({"idle"}),
        is_share=True,
    ),
    _io(
        "hypervisor-cpu",
        "CPU by mode, as libvirt sees it",
        "libvirt.host.cpu.time",
        "s",
        "cpu.mode",
        hidden=frozenset({"idle"}),
    ),
    Panel(
        "load",
        "Load average",
        ("system.cpu.load_average.1m", "system.cpu.load_average.5m", "system.cpu.load_average.15m"),
        "{thread}",
        names=("1 min", "5 min", "15 min"),
    ),
    Panel(
        "memory",
        "Memory by state",
        ("system.memory.usage",),
        "By",
        labels=("system.memory.state",),
    ),
    Panel(
        "hypervisor-memory",
        "Memory by state, as libvirt sees it",
        ("libvirt.host.memory.usage",),
        "By",
        labels=("system.memory.state",),
    ),
    Panel(
        "vms",
        "Virtual machines by state",
        ("libvirt.host.vm.count",),
        "{vm}",
        labels=("vm.state",),
    ),
    Panel(
        "filesystems",
        "Filesystems in use",
        ("system.filesystem.utilization",),
        "1",
        labels=("system.filesystem.mountpoint",),
        is_share=True,
    ),
    _io("disk", "Disk throughput", "system.disk.io", "By", _DEVICE, _DISK_DIRECTION),
    _io(
        "network",
        "Network throughput",
        "system.network.io",
        "By",
        _NIC,
        _DIRECTION,
        hidden=frozenset({"lo"}),
    ),
    _io(
        "operations",
        "Disk operations",
        "system.disk.operations",
        "{operation}",
        _DEVICE,
        _DISK_DIRECTION,
    ),
    Panel("swap", "Swap by state", ("system.paging.usage",), "By", labels=("system.paging.state",)),
    _io(
        "pressure",
        "Waiting for CPU, memory, I/O (pressure)",
        "system.linux.pressure.stall_time",
        "s",
        "system.linux.pressure.resource",
        "system.linux.pressure.stall_type",
    ),
    Panel("temperature", "Temperatures", ("hw.temperature",), "Cel", labels=("hw.name",)),
)


def panel(panels: Iterable[Panel], panel_id: str) -> Panel | None:
    return next((panel for panel in panels if panel.id == panel_id), None)
