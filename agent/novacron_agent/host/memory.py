"""Memory, swap and paging."""

from __future__ import annotations

from pathlib import Path

from novacron_agent.host.kernel_files import table
from novacron_agent.readings import Reading

_PROC = Path("/proc")
_STATE = "system.memory.state"


def read_memory(reading: Reading, proc: Path = _PROC) -> None:
    """Memory by state; the states add up to the limit."""
    memory = table(proc / "meminfo")
    total = memory["MemTotal"]
    states = {
        "free": memory["MemFree"],
        "buffers": memory["Buffers"],
        "cached": memory["Cached"] + memory.get("SReclaimable", 0),
    }
    states["used"] = max(0, total - sum(states.values()))
    for state, size in states.items():
        reading.add("system.memory.usage", size, {_STATE: state})
        reading.add("system.memory.utilization", size / total, {_STATE: state})
    reading.add("system.memory.limit", total)
    reading.add("system.memory.linux.available", memory.get("MemAvailable"))
    reading.add("system.memory.linux.commit.usage", memory.get("Committed_AS"))
    reading.add("system.memory.linux.commit.limit", memory.get("CommitLimit"))
    swap = {"used": memory["SwapTotal"] - memory["SwapFree"], "free": memory["SwapFree"]}
    for state, size in swap.items():
        reading.add("system.paging.usage", size, {"system.paging.state": state})


def read_paging(reading: Reading, proc: Path = _PROC) -> None:
    counts = table(proc / "vmstat", "pswp", "pgfault", "pgmajfault", "oom_kill")
    for direction in ("in", "out"):
        attributes = {"system.paging.direction": direction}
        reading.add("system.paging.operations", counts.get(f"pswp{direction}"), attributes)
    major = counts["pgmajfault"]
    faults = {"major": major, "minor": max(0, counts["pgfault"] - major)}  # pgfault is of both
    for kind, count in faults.items():
        reading.add("system.paging.faults", count, {"system.paging.fault.type": kind})
    reading.add("system.memory.linux.oom_kills", counts.get("oom_kill"))
