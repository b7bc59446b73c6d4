"""Network interfaces."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

from novacron_agent.host.kernel_files import number, word
from novacron_agent.readings import Reading

_SYS_NET = Path("/sys/class/net")
_NETFILTER = Path("/proc/sys/net/netfilter")


def read_network(reading: Reading, sys_net: Path = _SYS_NET) -> None:
    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    for name in own_interfaces(counters, sys_net):
        nic = counters[name]
        pairs = {
            "system.network.io": (nic.bytes_recv, nic.bytes_sent),
            "system.network.packet.count": (nic.packets_recv, nic.packets_sent),
            "system.network.errors": (nic.errin, nic.errout),
            "system.network.packet.dropped": (nic.dropin, nic.dropout),
        }
        for metric, values in pairs.items():
            for direction, value in zip(("receive", "transmit"), values, strict=True):
                attributes = {"network.interface.name": name, "network.io.direction": direction}
                reading.add(metric, value, attributes)


def read_links(reading: Reading, sys_net: Path = _SYS_NET) -> None:
    """State and speed of the cables. Who asks may have to wait while interfaces are changed."""
    for place in sorted(sys_net.glob("*/device")):
        interface = place.parent
        link = {"hw.id": interface.name, "hw.name": interface.name}
        state = word(interface / "operstate")
        if state not in ("", "unknown"):
            reading.add("hw.network.up", int(state == "up"), link)
        megabits = number(interface / "speed")
        if megabits is not None and megabits > 0:  # -1 where nobody knows
            reading.add("hw.network.bandwidth.limit", megabits * 125_000, link)


def read_conntrack(reading: Reading, netfilter: Path = _NETFILTER) -> None:
    """Connections the kernel follows; when the table is full, it drops what is new."""
    reading.add("system.network.conntrack.count", number(netfilter / "nf_conntrack_count"))
    reading.add("system.network.conntrack.max", number(netfilter / "nf_conntrack_max"))


def own_interfaces(names: Iterable[str], sys_net: Path = _SYS_NET) -> list[str]:
    """The interfaces whose sum is the machine's traffic.

    The physical ones: bridges, VLANs, bonds and guests' taps would count the same packets again,
    and taps come and go under new names. Where there is none (a container), all but these.
    """
    names = sorted(set(names) - {"lo"})
    physical = [name for name in names if (sys_net / name / "device").exists()]
    return physical or [name for name in names if not _is_switching(sys_net / name)]


def _is_switching(interface: Path) -> bool:
    return (interface / "bridge").exists() or (interface / "tun_flags").exists()
