"""What may take long to read, or hang: in a thread of its own, and seldom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from novacron_agent.readings import Reading


@dataclass
class Apart:
    """A tick takes what was found since the last one, and never waits: what it asks for comes with
    a later one. There is one thread at most: what hangs is not asked again.

    `begin` makes an empty reading; it is called when reading begins, so that what was found has its
    own time, not that of the tick that takes it.
    """

    read: Callable[[Reading], None]
    begin: Callable[[], Reading]
    every_s: float
    clock: Callable[[], float] = time.monotonic
    _thread: threading.Thread | None = None
    _asked_at: float = 0.0
    _found: Reading | None = None
    _fault: Exception | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> Reading | None:
        """What was found; None when there is nothing new.

        Raises:
            Exception: what reading ended with, once; after what was found until then.
            TimeoutError: it takes longer than the time to its next turn.
        """
        found, fault = self._taken()
        hangs_s = self._ask()
        if found is not None:
            return found
        if fault is not None:
            raise fault
        if hangs_s:
            raise TimeoutError(f"no answer for {hangs_s:.0f} s")
        return None

    def _taken(self) -> tuple[Reading | None, Exception | None]:
        """One of the two: what was wrong comes with the tick after what was found until then."""
        with self._lock:
            found, self._found = self._found, None
            if found is not None and found.series:
                return found, None
            fault, self._fault = self._fault, None
            return None, fault

    def _ask(self) -> float:
        """Begin to read when its turn has come; for how long it hangs if it does."""
        now = self.clock()
        since = now - self._asked_at
        if self._thread is not None:
            if since < self.every_s:
                return 0.0
            if self._thread.is_alive():
                return since
        self._asked_at = now
        self._thread = threading.Thread(target=self._work, name="apart", daemon=True)
        self._thread.start()
        return 0.0

    def _work(self) -> None:
        reading = self.begin()
        fault: Exception | None = None
        try:
            self.read(reading)
        except Exception as err:  # noqa: BLE001 (it is raised where the tick takes it)
            fault = err
        with self._lock:
            self._found, self._fault = reading, fault
