"""Memory and swap."""

from __future__ import annotations

import psutil

from novacron_agent.readings import Reading

_STATE = "system.memory.state"
_PAGE = 4096  # psutil turns the kernel's pages into bytes with this, whatever the real size


def read_memory(reading: Reading) -> None:
    """Memory by state; the states add up to the limit."""
    memory = psutil.virtual_memory()
    states = {"free": memory.free, "buffers": memory.buffers, "cached": memory.cached}
    states["used"] = max(0, memory.total - sum(states.values()))
    for state, size in states.items():
        reading.add("system.memory.usage", size, {_STATE: state})
        reading.add("system.memory.utilization", size / memory.total, {_STATE: state})
    reading.add("system.memory.limit", memory.total)
    reading.add("system.memory.linux.available", memory.available)


def read_swap(reading: Reading) -> None:
    swap = psutil.swap_memory()
    for state, size in (("used", swap.used), ("free", swap.free)):
        reading.add("system.paging.usage", size, {"system.paging.state": state})
    for direction, size in (("in", swap.sin), ("out", swap.sout)):
        attributes = {"system.paging.direction": direction}
        reading.add("system.paging.operations", size // _PAGE, attributes)
