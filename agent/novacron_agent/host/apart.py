"""What may take long to read, or hang: in a thread of its own, and seldom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from novacron_agent.readings import Reading


@dataclass
class Apart:
    """A tick takes what was found since the last one, and never waits. There is one thread at most:
    what hangs is not asked again.

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
            Exception: what reading ended with, once.
            TimeoutError: it takes longer than the time to its next turn.
        """
        self._ask()
        with self._lock:
            found, fault = self._found, self._fault
            self._found = self._fault = None
        if fault is not None:
            raise fault
        return found if found and found.samples else None

    def _ask(self) -> None:
        now = self.clock()
        if self._thread is not None:
            late = now - self._asked_at >= self.every_s
            if late and self._thread.is_alive():
                raise TimeoutError(f"no answer for {now - self._asked_at:.0f} s")
            if not late:
                return
        self._asked_at = now
        self._thread = threading.Thread(target=self._work, name="apart", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        reading = self.begin()
        fault: Exception | None = None
        try:
            self.read(reading)
        except Exception as err:  # noqa: BLE001 (it is raised where the tick takes it)
            fault = err
        with self._lock:
            self._found, self._fault = reading, fault
