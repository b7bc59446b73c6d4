"""Block devices."""

from __future__ import annotations

from pathlib import Path

from novacron_agent.readings import Reading

_DISKSTATS = Path("/proc/diskstats")
_SYS_BLOCK = Path("/sys/block")
_REMOVABLE = ("sr", "fd")  # CD and floppy drives
_SECTOR = 512  # of the kernel's counts, whatever the disk's own are
_READ, _WRITE, _FLUSH = 0, 4, 15  # where the fields of each begin: count, ...


def read_disks(
    reading: Reading, diskstats: Path = _DISKSTATS, sys_block: Path = _SYS_BLOCK
) -> None:
    for line in diskstats.read_text(encoding="ascii", errors="replace").splitlines():
        _major, _minor, name, *fields = line.split()
        if is_physical(name, sys_block):
            _add(reading, name, [int(field) for field in fields])


def _add(reading: Reading, name: str, fields: list[int]) -> None:
    """Fields as in the kernel's Documentation/admin-guide/iostats.rst; times are milliseconds."""
    device = {"system.device": name}
    for direction, at in (("read", _READ), ("write", _WRITE)):
        count, merged, sectors, milliseconds = fields[at : at + 4]
        attributes = {**device, "disk.io.direction": direction}
        reading.add("system.disk.io", sectors * _SECTOR, attributes)
        reading.add("system.disk.operations", count, attributes)
        reading.add("system.disk.operation_time", milliseconds / 1000, attributes)
        reading.add("system.disk.merged", merged, attributes)
    pending, busy, weighted = fields[8:11]
    reading.add("system.disk.pending_operations", pending, device)
    reading.add("system.disk.io_time", busy / 1000, device)
    reading.add("system.disk.weighted_io_time", weighted / 1000, device)
    if len(fields) > _FLUSH + 1:  # since Linux 5.5
        count, milliseconds = fields[_FLUSH : _FLUSH + 2]
        reading.add("system.disk.flush.operations", count, device)
        reading.add("system.disk.flush.operation_time", milliseconds / 1000, device)


def is_physical(name: str, sys_block: Path = _SYS_BLOCK) -> bool:
    """Whether hardware stands behind it: partitions, loop, ram, zram, md and dm would count the
    same bytes again."""
    if name.startswith(_REMOVABLE):
        return False
    return (sys_block / name.replace("/", "!") / "device").exists()
