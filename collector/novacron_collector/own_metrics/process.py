"""What this process takes, from /proc."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_SELF = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """CPU seconds, bytes, and numbers."""

    user_s: float
    system_s: float
    memory: int
    files: int
    threads: int


def process_figures() -> ProcessFigures:
    times = os.times()
    pages = int((_SELF / "statm").read_text().split()[1])
    return ProcessFigures(
        user_s=times.user,
        system_s=times.system,
        memory=pages * os.sysconf("SC_PAGE_SIZE"),
        files=len(os.listdir(_SELF / "fd")) - 1,  # without the one that lists them
        threads=int((_SELF / "stat").read_text().rpartition(")")[2].split()[17]),
    )


class Uptime:
    """Since when this process counts; a wall clock that is set does not change how long."""

    def __init__(self) -> None:
        self.started_ns = time.time_ns()
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started
