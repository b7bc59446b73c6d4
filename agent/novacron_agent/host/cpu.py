"""CPU time and its shares by mode, all CPUs together."""

from __future__ import annotations

import psutil

from novacron_agent.readings import Reading


class Cpu:
    """Remembers the last times: utilization is the difference between two scrapes."""

    def __init__(self) -> None:
        self._last: dict[str, float] | None = None

    def read(self, reading: Reading) -> None:
        reading.add("system.cpu.logical.count", psutil.cpu_count())
        reading.add("system.cpu.physical.count", psutil.cpu_count(logical=False))
        times = _times()
        for mode, seconds in times.items():
            reading.add("system.cpu.time", seconds, {"cpu.mode": mode})
        for mode, share in _shares(self._last, times).items():
            reading.add("system.cpu.utilization", share, {"cpu.mode": mode})
        self._last = times


def _times() -> dict[str, float]:
    """Seconds by mode; the modes add up to the time that passed on all CPUs."""
    now = psutil.cpu_times()
    guest, guest_nice = getattr(now, "guest", 0.0), getattr(now, "guest_nice", 0.0)
    return {
        "user": max(0.0, now.user - guest),  # the kernel counts guests' time in user and nice too
        "nice": max(0.0, now.nice - guest_nice),
        "system": now.system,
        "idle": now.idle,
        "iowait": now.iowait,
        "interrupt": now.irq + now.softirq,
        "steal": getattr(now, "steal", 0.0),
        "guest": guest + guest_nice,
    }


def _shares(last: dict[str, float] | None, now: dict[str, float]) -> dict[str, float]:
    """Share of each mode since `last`. The kernel lets idle and iowait step back: that is 0."""
    if last is None:
        return {}
    spent = {mode: max(0.0, seconds - last[mode]) for mode, seconds in now.items()}
    total = sum(spent.values())
    return {mode: seconds / total for mode, seconds in spent.items()} if total > 0 else {}
