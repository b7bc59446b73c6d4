"""What became of the points for one destination, as metrics of the agent."""

from __future__ import annotations

import threading
from collections import Counter

from novacron_agent.delivery.batch import SPOOLED, Dropped
from novacron_agent.readings import Reading

DESTINATION = "novacron.destination"
REASON = "novacron.reason"


class DeliveryCounts:
    """Counted by several threads; counters start at 0 with the process."""

    def __init__(self, destination: str) -> None:
        self._destination = destination
        self._lock = threading.Lock()
        self._dropped = Counter(dict.fromkeys(Dropped, 0))
        self._counts: Counter[str] = Counter()

    def taken(self, points: int) -> None:
        self._add("export.points", points)

    def failed(self) -> None:
        """An attempt that is made again."""
        self._add("export.errors", 1)

    def buried(self) -> None:
        self._add("export.dead_letters", 1)

    def not_written(self) -> None:
        self._add("spool.errors", 1)

    def set_aside(self) -> None:
        self._add("spool.set_aside", 1)

    def dropped(self, reason: Dropped, points: int) -> None:
        with self._lock:
            self._dropped[reason] += points

    def lost(self) -> dict[Dropped, int]:
        with self._lock:
            return dict(self._dropped)

    def count(self, name: str) -> int:
        with self._lock:
            return self._counts[name]

    def add_to(self, reading: Reading) -> None:
        where = {DESTINATION: self._destination}
        names = ("points", "errors", "dead_letters")
        for name in (*(f"export.{n}" for n in names), "spool.errors", "spool.set_aside"):
            reading.add(f"novacron.agent.{name}", self.count(name), where)
        for reason, points in self.lost().items():
            name = "spool" if reason in SPOOLED else "export"
            reading.add(f"novacron.agent.{name}.dropped", points, {**where, REASON: str(reason)})

    def _add(self, name: str, number: int) -> None:
        with self._lock:
            self._counts[name] += number
