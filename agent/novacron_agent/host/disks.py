"""Block devices."""

from __future__ import annotations

from pathlib import Path

import psutil

from novacron_agent.readings import Reading

_SYS_BLOCK = Path("/sys/block")
_REMOVABLE = ("sr", "fd")  # CD and floppy drives


def read_disks(reading: Reading, sys_block: Path = _SYS_BLOCK) -> None:
    for name, disk in (psutil.disk_io_counters(perdisk=True, nowrap=False) or {}).items():
        if not is_physical(name, sys_block):
            continue
        device = {"system.device": name}
        reading.add("system.disk.io_time", disk.busy_time / 1000, device)
        for direction in ("read", "write"):
            attributes = {**device, "disk.io.direction": direction}
            milliseconds = getattr(disk, f"{direction}_time")
            reading.add("system.disk.io", getattr(disk, f"{direction}_bytes"), attributes)
            reading.add("system.disk.operations", getattr(disk, f"{direction}_count"), attributes)
            reading.add("system.disk.operation_time", milliseconds / 1000, attributes)


def is_physical(name: str, sys_block: Path = _SYS_BLOCK) -> bool:
    """Whether hardware stands behind it: partitions, loop, ram, zram, md and dm would count the
    same bytes again."""
    if name.startswith(_REMOVABLE):
        return False
    return (sys_block / name.replace("/", "!") / "device").exists()
