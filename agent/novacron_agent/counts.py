"""The agent's own metrics: what it measured. What it sent is counted by its destinations."""

from __future__ import annotations

import threading
import time
from collections import Counter

from novacron_agent.readings import Reading


class Counts:
    """Counted by several threads; counters start at 0 with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started_ns = time.time_ns()
        self._durations: dict[str, float] = {}
        self._stuck: dict[str, int] = {}
        self._errors: Counter[str] = Counter()

    def expect(self, source: str) -> None:
        """Its errors are 0 from now on, not unknown."""
        with self._lock:
            self._errors[source] += 0

    def scraped(self, source: str, seconds: float) -> None:
        with self._lock:
            self._durations[source] = seconds

    def stuck(self, source: str, machines: int) -> None:
        with self._lock:
            self._stuck[source] = machines

    def failed(self, source: str, times: int = 1) -> None:
        with self._lock:
            self._errors[source] += times

    def any_failed(self) -> bool:
        with self._lock:
            return any(self._errors.values())

    def reading(self, resource: dict[str, str | float]) -> Reading:
        reading = Reading(resource, time.time_ns(), self._started_ns)
        with self._lock:
            for source, seconds in self._durations.items():
                attributes = {"novacron.source": source}
                reading.add("novacron.agent.scrape.duration", seconds, attributes)
            for source, stuck in self._stuck.items():
                reading.add("novacron.agent.scrape.stuck", stuck, {"novacron.source": source})
            for source, errors in self._errors.items():
                attributes = {"novacron.source": source}
                reading.add("novacron.agent.scrape.errors", errors, attributes)
        return reading
