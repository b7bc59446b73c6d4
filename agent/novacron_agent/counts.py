"""The agent's own metrics: what it measured, sent and lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from enum import StrEnum

from novacron_agent.readings import Reading


class Lost(StrEnum):
    """Why points were given up; the value of `novacron.reason`."""

    QUEUE_FULL = "queue_full"
    REFUSED = "refused"  # the collector will never take them
    SHUTDOWN = "shutdown"


class Counts:
    """Counted by several threads; counters start at 0 with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started_ns = time.time_ns()
        self._durations: dict[str, float] = {}
        self._stuck: dict[str, int] = {}
        self._errors: Counter[str] = Counter()
        self._lost = Counter(dict.fromkeys(Lost, 0))
        self._exported = 0

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

    def exported(self, points: int) -> None:
        with self._lock:
            self._exported += points

    def lost(self, reason: Lost, points: int) -> None:
        with self._lock:
            self._lost[reason] += points

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
            for reason, points in self._lost.items():
                attributes = {"novacron.reason": str(reason)}
                reading.add("novacron.agent.export.dropped", points, attributes)
            reading.add("novacron.agent.export.points", self._exported)
        return reading
