"""Prometheus' times, and the value by which it says that a series ends."""

from __future__ import annotations

import struct

_DOUBLE = struct.Struct("<d")
_STALE = (0x7FF0000000000002).to_bytes(8, "little")
_MAX_NS = 2**64 - 1


def nanoseconds(ms: int) -> int:
    """As OTLP has them. A time it cannot have becomes the nearest it can: no time, or too late."""
    return min(max(ms, 0) * 1_000_000, _MAX_NS)


def is_stale(value: float) -> bool:
    """Whether it is the one NaN that means: no value any more."""
    return value != value and _DOUBLE.pack(value) == _STALE
