"""One answer for everybody who asks at about the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class Shared(Generic[T]):
    """Computes in a thread of its own: however many browsers ask, the store is asked once."""

    compute: Callable[[], T]
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _newest: Future[T] | None = None
    _begun: float = 0.0

    def get(self, max_age_s: float) -> T:
        """An answer that was begun at most `max_age_s` ago, or the exception of computing it."""
        return self.begin(max_age_s).result()

    def begin(self, max_age_s: float) -> Future[T]:
        """Start on an answer that somebody will want soon, unless there is a new enough one."""
        with self._lock:
            newest = self._newest
            if newest is None or (newest.done() and not self._serves(newest, max_age_s)):
                self._begun = time.monotonic()
                newest = self._newest = self._thread.submit(self.compute)
            return newest

    def at_hand(self, max_age_s: float) -> T | None:
        """An answer that needs no waiting, or None while a new one is begun."""
        newest = self.begin(max_age_s)
        return newest.result() if newest.done() and newest.exception() is None else None

    def _serves(self, answer: Future[T], max_age_s: float) -> bool:
        return answer.exception() is None and time.monotonic() - self._begun <= max_age_s
