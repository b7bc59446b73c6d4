"""Time as commands need it: it goes on while the machine sleeps, and nobody can set it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    @property
    def boot_id(self) -> str:
        """Another one after each start of the machine."""

    def since_boot(self) -> float:
        """Seconds, those of sleep included."""

    def wall(self) -> float:
        """Unix seconds: somebody may have set them."""


@dataclass(frozen=True, slots=True)
class BootClock:
    boot_id: str

    def since_boot(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        return time.time()


def this_boot() -> BootClock:
    return BootClock(_BOOT_ID.read_text(encoding="ascii").strip())
