"""Pressure: for how long tasks waited for a CPU, for memory, for I/O (the kernel's PSI)."""

from __future__ import annotations

from pathlib import Path

from novacron_agent.host.kernel_files import word
from novacron_agent.readings import Reading

_PRESSURE = Path("/proc/pressure")
_RESOURCES = ("cpu", "memory", "io", "irq")


def read_pressure(reading: Reading, pressure: Path = _PRESSURE) -> None:
    """Nothing where the kernel has none, or was booted with psi=0."""
    for resource in _RESOURCES:
        for line in word(pressure / resource).splitlines():
            stall, *_averages, total = line.split()
            if resource == "cpu" and stall == "full":
                continue  # not defined for a whole machine: the kernel says 0
            attributes = {
                "system.linux.pressure.resource": resource,
                "system.linux.pressure.stall_type": stall,
            }
            seconds = int(total.removeprefix("total=")) / 1e6
            reading.add("system.linux.pressure.stall_time", seconds, attributes)
