"""The host as libvirt sees it."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping

import libvirt

from novacron_agent.identity import architecture
from novacron_agent.readings import Reading
from novacron_contract.metrics import HOST_ID, HOST_NAME, VmState

log = logging.getLogger(__name__)

_CPU_MODES = {"user": "user", "kernel": "system", "idle": "idle", "iowait": "iowait"}
_INFO_CPUS = 2  # of virNodeGetInfo: the active CPUs
_KIB = 1024


class Hypervisor:
    """Calls that a host does not support are left out, and said once."""

    def __init__(self) -> None:
        self._unsupported: set[str] = set()

    def read(
        self, reading: Reading, conn: libvirt.virConnect, guests: Mapping[VmState, int]
    ) -> None:
        for state, count in guests.items():
            reading.add("libvirt.host.vm.count", count, {"vm.state": str(state)})
        cpu = self._ask(conn.getCPUStats, libvirt.VIR_NODE_CPU_STATS_ALL_CPUS)
        reading.add("libvirt.host.cpu.count", conn.getInfo()[_INFO_CPUS])
        for key, mode in _CPU_MODES.items():
            value = cpu[key] / 1e9 if key in cpu else None
            reading.add("libvirt.host.cpu.time", value, {"cpu.mode": mode})
        _add_memory(
            reading, self._ask(conn.getMemoryStats, libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
        )

    def _ask(self, call: Callable[[int], dict[str, int] | None], which: int) -> dict[str, int]:
        try:
            return call(which) or {}
        except libvirt.libvirtError as err:
            if call.__name__ not in self._unsupported:
                self._unsupported.add(call.__name__)
                log.info("libvirt cannot tell this host's %s: %s", call.__name__, err)
            return {}


def described(conn: libvirt.virConnect) -> dict[str, str | float]:
    """The resource of a host that the agent knows through libvirt alone.

    A hypervisor without an id (libvirt's mock driver) goes by its name.
    """
    name = conn.getHostname()
    host = ET.fromstring(conn.getCapabilities()).find("host")
    uuid = host.findtext("uuid") if host is not None else None
    arch = host.findtext("cpu/arch") if host is not None else None
    resource: dict[str, str | float] = {HOST_ID: uuid or name, HOST_NAME: name}
    return {**resource, "host.arch": architecture(arch)} if arch else resource


def version(number: int) -> str:
    """libvirt's 9000000 -> "9.0.0"."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _add_memory(reading: Reading, memory: Mapping[str, int]) -> None:
    """Memory by state, as on a host measured from inside: the states add up to the limit."""
    total = memory.get("total")
    if total is None:
        return
    reading.add("libvirt.host.memory.limit", total * _KIB)
    states = {state: memory[state] for state in ("free", "buffers", "cached") if state in memory}
    states["used"] = max(0, total - sum(states.values()))
    for state, size in states.items():
        reading.add("libvirt.host.memory.usage", size * _KIB, {"system.memory.state": state})
