"""An answer that many threads want, and one of them asks for, once in a while."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K")
C = TypeVar("C")
T = TypeVar("T")

# Times `held_s`: so long the answer before may be taken while another thread asks, and so long by
# whoever could ask himself.
_STALE, _STALE_BEHIND = 5, 3
log = logging.getLogger(__name__)


class Behind(Generic[C]):
    """A thread that asks again while others go on with the answer before; `client` gives it a
    client of its own. It ends with the process."""

    def __init__(self, client: Callable[[], C]) -> None:
        self._client = client
        self._waiting: queue.SimpleQueue[Callable[[C], None]] = queue.SimpleQueue()
        self._lock, self._runs = threading.Lock(), False

    def submit(self, ask: Callable[[C], None]) -> None:
        with self._lock:
            if not self._runs:
                threading.Thread(target=self._run, name="ask-again", daemon=True).start()
                self._runs = True
        self._waiting.put(ask)

    def _run(self) -> None:
        while True:
            ask = self._waiting.get()
            try:
                ask(self._client())
            except Exception:  # who finds no answer any more asks, and is told
                log.warning("cannot ask again: the answer before holds a while", exc_info=True)


@dataclass(slots=True)
class Held(Generic[C, T]):
    """It is asked for again after `held_s` seconds. Who comes while another thread does that takes
    the answer before, unless that is too old; with `behind`, so does who comes first."""

    held_s: float
    behind: Behind[C] | None = None
    _answer: T | None = None
    _asked: float = -inf  # monotonic seconds
    _submitted: float = -inf
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, client: C, ask: Callable[[C], T]) -> T:
        """Raises what `ask` raises; the next one asks again."""
        answer = self._younger_than(self.held_s)
        if answer is not None:
            return answer
        if self.behind is not None:
            answer = self._younger_than(_STALE_BEHIND * self.held_s)
            if answer is not None:
                self._submit(self.behind, ask)
                return answer
        before = self._younger_than(_STALE * self.held_s)
        if not self._lock.acquire(blocking=before is None):
            assert before is not None
            return before
        try:
            answer = self._younger_than(self.held_s)  # of whoever had the lock
            return self._ask(client, ask) if answer is None else answer
        finally:
            self._lock.release()

    @property
    def is_fresh(self) -> bool:
        return self._younger_than(self.held_s) is not None

    @property
    def is_of_use(self) -> bool:
        return self._lock.locked() or self._younger_than(_STALE * self.held_s) is not None

    def _submit(self, behind: Behind[C], ask: Callable[[C], T]) -> None:
        """Once in `held_s` seconds, also where it fails. Two that come at once may both do it."""
        if time.monotonic() >= self._submitted + self.held_s:
            self._submitted = time.monotonic()
            behind.submit(lambda client: self._again(client, ask))

    def _again(self, client: C, ask: Callable[[C], T]) -> None:
        if self._lock.acquire(blocking=False):  # else somebody asks already
            try:
                if not self.is_fresh:
                    self._ask(client, ask)
            finally:
                self._lock.release()

    def _ask(self, client: C, ask: Callable[[C], T]) -> T:
        began = time.monotonic()
        answer = ask(client)
        self._answer, self._asked = answer, began
        return answer

    def _younger_than(self, seconds: float) -> T | None:
        return self._answer if time.monotonic() <= self._asked + seconds else None


class HeldByKey(Generic[K, C, T]):
    """An answer for each key; those that nobody asks for any more are forgotten."""

    def __init__(self, held_s: float, behind: Behind[C] | None = None) -> None:
        self._held_s, self._behind = held_s, behind
        self._held: dict[K, Held[C, T]] = {}

    def get(self, key: K, client: C, ask: Callable[[C], T]) -> T:
        held = self._held.get(key)
        if held is None:
            for known, other in list(self._held.items()):
                if not other.is_of_use:
                    self._held.pop(known, None)
            held = self._held.setdefault(key, Held(self._held_s, self._behind))
        return held.get(client, ask)

    def is_fresh(self, key: K) -> bool:
        held = self._held.get(key)
        return held is not None and held.is_fresh
