"""NUMA nodes: a guest that is bound to a full one has slow memory or none, whatever is free
elsewhere."""

from __future__ import annotations

from pathlib import Path

from novacron_agent.host import pages
from novacron_agent.host.kernel_files import table
from novacron_agent.readings import Attributes, Reading

_NODES = Path("/sys/devices/system/node")
_NODE = "system.memory.linux.numa.node"
_ALLOCATION = "system.memory.linux.numa.allocation"
# As the kernel's Documentation/admin-guide/numastat.rst has them
_ALLOCATIONS = {
    "numa_hit": "hit",
    "numa_miss": "miss",
    "numa_foreign": "foreign",
    "interleave_hit": "interleave",
    "local_node": "local",
    "other_node": "other",
}


def read_numa(reading: Reading, nodes: Path = _NODES) -> None:
    for place in sorted(nodes.glob("node[0-9]*"), key=lambda place: (len(place.name), place.name)):
        node: Attributes = {_NODE: int(place.name.removeprefix("node"))}
        _add_memory(reading, place, node)
        for file, count in table(place / "numastat").items():
            if file in _ALLOCATIONS:
                attributes = {**node, _ALLOCATION: _ALLOCATIONS[file]}
                reading.add("system.memory.linux.numa.allocations", count, attributes)
        for size, kind in pages.sizes(place / "hugepages"):
            for state, count in pages.usage(kind).items():
                attributes = {**node, pages.PAGE_SIZE: size, pages.STATE: state}
                reading.add("system.memory.linux.numa.hugepages.usage", count, attributes)


def _add_memory(reading: Reading, place: Path, node: Attributes) -> None:
    sizes = _meminfo(place / "meminfo")
    free, total = sizes["MemFree"], sizes["MemTotal"]
    for state, size in (("used", max(0, total - free)), ("free", free)):
        attributes = {**node, "system.memory.state": state}
        reading.add("system.memory.linux.numa.usage", size, attributes)
    reading.add("system.memory.linux.numa.limit", total, node)


def _meminfo(path: Path) -> dict[str, int]:
    """Bytes, of lines such as "Node 0 MemTotal:  6645536 kB"."""
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    fields = [line.split() for line in lines if line.endswith("kB")]
    return {field[2].removesuffix(":"): int(field[3]) * 1024 for field in fields}
