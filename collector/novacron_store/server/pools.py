"""The threads that work with the engine, and how many requests may wait for one."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import inf
from typing import TypeVar

from novacron_store.server.failures import TOO_MANY_SIMULTANEOUS_QUERIES, EngineError

T = TypeVar("T")

log = logging.getLogger(__name__)

_WAITING_PER_THREAD = 16
_STUCK = 70  # the exit code; whoever supervises the store starts it again


class Pool:
    """Used from the event loop alone, so its count needs no lock.

    The engine looks at its time limit between blocks only: one call of a costly function may run
    for hours, and nothing can end it but the process. Work beyond `patience` seconds does that.
    """

    def __init__(self, name: str, threads: int, patience: float) -> None:
        self._patience = patience
        self._since: dict[int, float] = {}  # by thread: when its work began
        threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True).start()
        self._executor = ThreadPoolExecutor(threads, name)
        self._limit = threads * (1 + _WAITING_PER_THREAD)
        self._inside = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Raises EngineError where too many requests wait already: the client may try later."""
        if self._inside >= self._limit:
            raise EngineError.of(
                TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many simultaneous queries: {self._inside}"
            )
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._watched, work)

    def close(self) -> None:
        self._executor.shutdown(wait=True)

    def _watched(self, work: Callable[[], T]) -> T:
        thread = threading.get_ident()
        self._since[thread] = time.monotonic()
        try:
            return work()
        finally:
            del self._since[thread]

    def _watch(self) -> None:
        while True:
            time.sleep(1)
            if min(self._since.copy().values(), default=inf) < time.monotonic() - self._patience:
                _give_up(_STUCK, "a query cannot be ended: the store must start anew")


@contextmanager
def giving_up(patience: float, code: int, reason: str) -> Iterator[None]:
    """End the process with `code` when the block takes longer than `patience` seconds."""
    timer = threading.Timer(patience, _give_up, (code, reason))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _give_up(code: int, reason: str) -> None:
    log.critical("%s", reason)
    os._exit(code)  # as a kill -9: what was acknowledged is on disk
