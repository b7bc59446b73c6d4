"""Load, uptime and processes."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import psutil

from novacron_agent.readings import Reading

_PROC = Path("/proc")
# The kernel's letters -> states; processes that wait for a disk are worth a state of their own.
_PROCESS_STATES = {
    "R": "running",
    "S": "sleeping",
    "I": "sleeping",
    "D": "blocked",
    "T": "stopped",
    "t": "stopped",
    "Z": "defunct",
    "X": "defunct",
}


def read_load(reading: Reading) -> None:
    for period, load in zip(("1m", "5m", "15m"), os.getloadavg(), strict=True):
        reading.add(f"system.cpu.load_average.{period}", load)


def read_uptime(reading: Reading, boot: float) -> None:
    reading.add("system.uptime", max(0.0, time.time() - boot))


def read_processes(reading: Reading, proc: Path = _PROC) -> None:
    """Count processes by state, from one small file each: psutil.Process would open several."""
    counts = Counter(dict.fromkeys(_PROCESS_STATES.values(), 0))
    for pid in psutil.pids():
        try:
            stat = (proc / str(pid) / "stat").read_bytes()
        except OSError:
            continue  # it ended
        letter = stat[stat.rfind(b")") + 2 :][:1].decode("ascii", "replace")
        counts[_PROCESS_STATES.get(letter, "sleeping")] += 1
    for state, count in counts.items():
        reading.add("system.process.count", count, {"process.state": state})
