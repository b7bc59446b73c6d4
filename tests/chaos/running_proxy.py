"""A proxy beside a test that is not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from chaos.proxy import Fault, Proxy


@dataclass
class Running:
    """A proxy in a loop and a thread of its own."""

    proxy: Proxy
    _loop: asyncio.AbstractEventLoop | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: threading.Event = field(default_factory=threading.Event)

    def reset_all(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.proxy.reset_all)

    def end(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._over.set)

    def wait(self) -> None:
        assert self._ready.wait(10)

    async def serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self.proxy.serving():
            self._ready.set()
            await self._over.wait()


@contextmanager
def proxied(upstream: str, fault: Callable[[], Fault]) -> Iterator[Running]:
    running = Running(Proxy(upstream, fault))
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(asyncio.run, running.serve())
        running.wait()
        try:
            yield running
        finally:
            running.end()
            served.result(10)
