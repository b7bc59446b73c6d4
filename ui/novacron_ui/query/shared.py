"""One answer for everybody who asks at about the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class Shared(Generic[T]):
    """Computes in a thread of its own: however many browsers ask, the store is asked once."""

    compute: Callable[[], T]
    _asked: SimpleQueue[Future[T]] = field(default_factory=SimpleQueue)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _newest: Future[T] | None = None
    _begun: float = 0.0
    _wanted: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        # A daemon: the process ends without waiting for a store that does not answer.
        threading.Thread(target=self._answer, daemon=True).start()

    def get(self, max_age_s: float) -> T:
        """An answer that was begun at most `max_age_s` ago, or the exception of computing it."""
        self._wanted = time.monotonic()
        return self.begin(max_age_s).result()

    def soon(self, max_age_s: float, wait_s: float) -> T | None:
        """As `get`, or None where that fails or would wait for longer than `wait_s`."""
        self._wanted = time.monotonic()
        newest = self.begin(max_age_s)
        wait([newest], wait_s)
        return newest.result() if newest.done() and newest.exception() is None else None

    def renew(self, max_age_s: float, wanted_s: float) -> None:
        """As `begin`, unless nobody wanted an answer for `wanted_s`."""
        if time.monotonic() - self._wanted <= wanted_s:
            self.begin(max_age_s)

    def begin(self, max_age_s: float) -> Future[T]:
        """Start on an answer that somebody will want soon, unless there is a new enough one."""
        with self._lock:
            newest = self._newest
            if newest is None or (newest.done() and not self._serves(newest, max_age_s)):
                self._begun = time.monotonic()
                newest = self._newest = Future()
                self._asked.put(newest)
            return newest

    def _answer(self) -> None:
        while True:
            answer = self._asked.get()
            try:
                answer.set_result(self.compute())
            except Exception as err:  # noqa: BLE001  # whoever asked gets it
                answer.set_exception(err)

    def _serves(self, answer: Future[T], max_age_s: float) -> bool:
        return answer.exception() is None and time.monotonic() - self._begun <= max_age_s
