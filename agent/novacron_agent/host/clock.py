"""How far the machine's clock may be off, as the kernel was told by whoever sets it (chrony, ntpd,
systemd-timesyncd)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from novacron_agent.readings import Reading

_NANOSECONDS = 0x2000  # in `status`
_ERROR = 5  # what the call returns while the clock is not synchronized


class Timex(ctypes.Structure):
    """struct timex of adjtimex(2); nothing behind `status` is read here."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),  # more than it needs
    )


def ask_kernel() -> tuple[int, Timex] | None:
    """State and clock. `modes` is 0: nothing is set, and everybody may ask. None in a sandbox
    that forbids the call."""
    clock = Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(clock))
    return (state, clock) if state >= 0 else None


def read_clock(reading: Reading, ask: Callable[[], tuple[int, Timex] | None] = ask_kernel) -> None:
    answer = ask()
    if answer is None:
        return
    state, clock = answer
    reading.add("system.clock.synchronized", int(state != _ERROR))
    per_second = 1e9 if clock.status & _NANOSECONDS else 1e6
    reading.add("system.clock.offset", clock.offset / per_second)
    reading.add("system.clock.max_error", clock.maxerror / 1e6)
