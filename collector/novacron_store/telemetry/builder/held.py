"""An answer that many threads want, and one of them asks for, once in a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")

_STALE = 5  # times `held_s`: so long the answer before may be taken while another is asked for


@dataclass(slots=True)
class Held(Generic[T]):
    """It is asked for again after `held_s` seconds. Who comes while another thread does that takes
    the answer before, unless that is too old."""

    held_s: float
    _answer: T | None = None
    _asked: float = -inf  # monotonic seconds
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, ask: Callable[[], T]) -> T:
        """Raises what `ask` raises; the next one asks again."""
        answer = self._younger_than(self.held_s)
        if answer is not None:
            return answer
        before = self._younger_than(_STALE * self.held_s)
        if not self._lock.acquire(blocking=before is None):
            assert before is not None
            return before
        try:
            answer = self._younger_than(self.held_s)  # of whoever had the lock
            if answer is None:
                began = time.monotonic()
                answer = ask()
                self._answer, self._asked = answer, began
            return answer
        finally:
            self._lock.release()

    @property
    def is_of_use(self) -> bool:
        return self._lock.locked() or self._younger_than(_STALE * self.held_s) is not None

    def _younger_than(self, seconds: float) -> T | None:
        return self._answer if time.monotonic() <= self._asked + seconds else None
