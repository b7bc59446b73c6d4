"""Whom a credential belonged to a moment ago: the database is not asked for every request."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from novacron_contract.access import Principal

FOR_S = 2.0  # what was revoked by another process holds that long
_MOST = 4096


class Remembered:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[Principal, float]] = OrderedDict()

    def get(self, digest: str) -> Principal | None:
        with self._lock:
            principal, until = self._known.get(digest, (None, 0.0))
        return principal if self._clock() < until else None

    def keep(self, digest: str, principal: Principal, asked: float) -> None:
        """`asked`: when the database was."""
        with self._lock:
            self._known[digest] = principal, asked + FOR_S
            self._known.move_to_end(digest)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)

    def forget(self) -> None:
        """Something has changed: everybody is looked up again."""
        with self._lock:
            self._known.clear()

    def now(self) -> float:
        return self._clock()
