"""The threads that work with the engine, and how many requests may wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from novacron_store.server.failures import TOO_MANY_SIMULTANEOUS_QUERIES, EngineError

T = TypeVar("T")

_WAITING_PER_THREAD = 16


class Pool:
    """Used from the event loop alone, so its count needs no lock."""

    def __init__(self, name: str, threads: int) -> None:
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
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        self._executor.shutdown(wait=True)
