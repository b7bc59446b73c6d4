"""What the agent itself takes of the machine: memory and CPU."""

from __future__ import annotations

import time

import psutil

from novacron_agent.readings import Reading


class OwnProcess:
    """`share` is of one CPU, since the reading before; None at the first."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cpu_s, self._at = 0.0, 0.0
        self.started = self._process.create_time()
        self.memory = 0
        self.share: float | None = None

    def reading(self, resource: dict[str, str | float]) -> Reading:
        """Its CPU time counts since the process began, whenever the agent's own counters did."""
        reading = Reading(resource, time.time_ns(), int(self.started * 1e9))
        with self._process.oneshot():
            cpu, self.memory = self._process.cpu_times(), self._process.memory_info().rss
        reading.add("process.memory.usage", self.memory)
        reading.add("process.cpu.time", cpu.user, {"cpu.mode": "user"})
        reading.add("process.cpu.time", cpu.system, {"cpu.mode": "system"})
        before, now = self._at, time.monotonic()
        if before:
            self.share = max(0.0, cpu.user + cpu.system - self._cpu_s) / max(1e-3, now - before)
        self._cpu_s, self._at = cpu.user + cpu.system, now
        return reading
