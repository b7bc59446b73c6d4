"""Which hosts and guests a lab has, and how its guests pass their time."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

HOST_NAMES = ("lab-host-a", "lab-host-b")
_BEATS = 24  # then a guest begins anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a guest does for ten seconds, the amounts being for each tick of two seconds."""

    cpu: int  # percent of its vCPU
    disk: int  # KiB written, and as many read
    network: int  # KiB fetched from the next guest; 0 or a power of two up to 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPlan:
    name: str
    host: str
    beats: tuple[Beat, ...]
    memory_mib: int = 80  # 72 is the least that boots

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", self.name):
            raise ValueError(f"{self.name!r} is no name for a guest: a-z, 0-9 and -, 31 at most")


def _wave(beat: int, shift: int, low: float, high: float) -> float:
    turn = 2 * math.pi * (beat + shift) / _BEATS
    return low + (high - low) * (1 - math.cos(turn)) / 2


def _web(beat: int) -> Beat:
    """A day in four minutes: everything follows the visitors."""
    crowd = _wave(beat, 0, 0, 1)
    return Beat(cpu=round(14 * crowd), disk=4, network=2 ** round(5 + 4 * crowd))


def _db(beat: int) -> Beat:
    """Work piles up towards a checkpoint, three times in a round."""
    level = (beat % 8) / 7
    return Beat(cpu=round(1 + 7 * level), disk=round(16 + 240 * level), network=16)


def _cache(beat: int) -> Beat:
    """Little CPU, much network, in a rhythm of its own."""
    return Beat(cpu=2, disk=4, network=512 if beat % 6 < 2 else 64)


def _batch(beat: int) -> Beat:
    """Asleep but for one job of forty seconds."""
    if 14 <= beat < 18:
        return Beat(cpu=35, disk=512, network=32)
    return Beat(cpu=0, disk=4, network=1)


GUESTS = tuple(
    GuestPlan(name=name, host=host, beats=tuple(day(beat) for beat in range(_BEATS)))
    for name, host, day in (
        ("web-1", HOST_NAMES[0], _web),
        ("db-1", HOST_NAMES[1], _db),
        ("cache-1", HOST_NAMES[0], _cache),
        ("batch-1", HOST_NAMES[1], _batch),
    )
)
