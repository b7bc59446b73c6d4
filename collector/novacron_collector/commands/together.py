"""What many ask for at a time, done at once: one transaction instead of one for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Together(Generic[Item, Result]):
    """In one event loop; `work` runs in a thread, and answers for each item. While it runs, what
    comes gathers for the next time."""

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]], most: int = 100) -> None:
        self._work = work
        self._most = most
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None

    async def do(self, item: Item) -> Result:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._one(some)
        finally:
            self._task = None

    async def _one(self, some: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await asyncio.to_thread(self._work, [item for item, _ in some])
        except Exception as err:  # noqa: BLE001  # whoever asked gets it, and tells it
            for _, future in some:
                if not future.done():
                    future.set_exception(err)
            return
        for (_, future), result in zip(some, results, strict=True):
            if not future.done():
                future.set_result(result)
