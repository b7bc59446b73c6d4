"""Who follows operations: held requests and the live feed. Each change reaches them at once where
this process made it, and within a second where another did."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from novacron_contract.errors import NovaCronError, TooMany
from novacron_store.state.commands import Listing, summary

log = logging.getLogger(__name__)

EVERY_S = 1.0
MAX_HELD = 500
_GATHER_S = 0.1  # changes of that time are told together

Publish = Callable[[Sequence[dict[str, Any]]], None]


class Progress:
    """In one event loop; `publish` is told of operations that changed, while `followed`."""

    def __init__(self, listing: Listing, publish: Publish, followed: Callable[[], bool]) -> None:
        self._listing = listing
        self._publish = publish
        self._followed = followed
        self._held: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._after: dict[asyncio.Future[None], int] = {}
        self._told: dict[str, int] = {}  # versions that the feed has
        self._touched: set[str] = set()
        self._wake = asyncio.Event()
        self._checked = 0.0
        self._closing = False

    async def until(self, operation_id: str, after: int, wait_s: float) -> None:
        """Until the operation's version is beyond `after`, for so long at most.

        Raises:
            TooMany: too many wait already.
        """
        if self._closing:
            return
        if len(self._after) >= MAX_HELD:
            raise TooMany(f"{MAX_HELD} requests wait for operations already: ask without `wait`")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._after[future] = after
        self._held[operation_id].add(future)
        self.touched((operation_id,))  # it may be beyond it already
        try:
            await asyncio.wait((future,), timeout=wait_s)
        finally:
            future.cancel()
            del self._after[future]
            self._held[operation_id].discard(future)
            if not self._held[operation_id]:
                del self._held[operation_id]

    def touched(self, operations: Iterable[str]) -> None:
        self._touched.update(operations)
        if self._touched:
            self._wake.set()

    def close(self) -> None:
        self._closing = True
        for future in self._after:
            _done(future)

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):  # wait_for may swallow that it is cancelled
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._once()
            except NovaCronError:  # who waits is answered when the time is over; others log it
                await asyncio.sleep(EVERY_S)
            except Exception:  # the outermost edge of this loop: it goes on
                log.exception("the progress of operations is not told")
                await asyncio.sleep(EVERY_S)

    async def _once(self) -> None:
        touched, self._touched = self._touched, set()
        followed = self._followed()
        asked = await self._to_ask(touched, followed)
        if not asked:
            return
        found = await asyncio.to_thread(self._listing.some, asked)
        self._answer(found, asked)
        if followed:
            self._feed([one for one in found if self._told.get(one.id) != one.version], asked)
        if touched:
            await asyncio.sleep(_GATHER_S)

    async def _to_ask(self, touched: set[str], followed: bool) -> set[str]:
        """Which operations are to be read: those that changed here, where somebody waits for them,
        and once in a while those that others may have changed."""
        now = time.monotonic()
        if now - self._checked < EVERY_S:
            return touched if followed else touched & self._held.keys()
        self._checked = now
        if not followed:
            return set(self._held)
        versions = await asyncio.to_thread(self._listing.open_versions)
        changed = {key for key, of in versions.items() if self._told.get(key) != of}
        gone = self._told.keys() - versions.keys()
        return touched | changed | gone | self._held.keys()

    def _answer(self, found: Sequence[Any], asked: set[str]) -> None:
        for one in found:
            for future in list(self._held.get(one.id, ())):
                if one.version > self._after[future] or one.finished is not None:
                    _done(future)
        for key in asked - {one.id for one in found}:
            for future in self._held.get(key, ()):
                _done(future)  # there is none: the answer says so

    def _feed(self, changed: Sequence[Any], asked: Iterable[str]) -> None:
        for key in asked:
            self._told.pop(key, None)
        self._told.update({one.id: one.version for one in changed if one.finished is None})
        if changed:
            self._publish([summary(one) for one in changed])


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
