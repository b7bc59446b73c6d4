"""Agents that wait for commands, and the loop that tells them.

Ten thousand that wait cost nothing but memory: one query a second says for whom there is anything,
and a transaction serves all of those. What is queued in this process wakes the loop at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from novacron_contract.errors import NovaCronError, Unavailable
from novacron_store.state.commands import Asking, Dispatch, Round, Told

log = logging.getLogger(__name__)

EVERY_S = 1.0
_STOPPING = "the collector is stopping: come back"


@dataclass(slots=True)
class _Poll:
    asking: Asking
    told: asyncio.Future[Told]


class Polls:
    """In one event loop. `touched` is told of operations that changed."""

    def __init__(
        self,
        dispatch: Dispatch,
        now: Callable[[], datetime],
        touched: Callable[[Iterable[str]], None],
    ) -> None:
        self.dispatch = dispatch
        self._now = now
        self._touched = touched
        self._waiting: dict[str, _Poll] = {}
        self._wanted: set[str] = set()  # as the database said last
        self._woken: set[str] = set()  # since then
        self._known: dict[str, str] = {}  # journals whose commands were looked for
        self._wake = asyncio.Event()
        self._checked = 0.0
        self._problem = ""
        self._closing = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def wait(self, identity: str, asking: Asking, wait_s: float) -> Told:
        """What there is for this agent: at once, or as soon as there is something.

        Raises:
            Unavailable: this collector stops.
        """
        if self._closing:
            raise Unavailable(_STOPPING)
        loop = asyncio.get_running_loop()
        poll = _Poll(asking, loop.create_future())
        if (older := self._waiting.get(identity)) is not None:
            _tell(older, Told())  # the agent came again: nobody takes the older one's answer
        self._waiting[identity] = poll
        if self._is_wanted(identity) or self._known.get(identity) != asking.instance:
            self._wake.set()
        timer = loop.call_later(wait_s, _tell, poll, Told())
        try:
            return await poll.told
        finally:
            timer.cancel()
            if self._waiting.get(identity) is poll:
                del self._waiting[identity]

    def wake(self, agents: Iterable[str]) -> None:
        """Something may be there for these."""
        self._woken.update(agents)
        if self._woken:
            self._wake.set()

    def close(self) -> None:
        """Send everybody away: they come back, to another collector or a later one."""
        self._closing = True
        for poll in self._waiting.values():
            if not poll.told.done():
                poll.told.set_exception(Unavailable(_STOPPING))

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):  # wait_for may swallow that it is cancelled
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._once()
                self._problem = ""
            except NovaCronError as err:
                if str(err) != self._problem:
                    log.warning("no commands are given out: %s", err)
                self._problem = str(err)
                await asyncio.sleep(EVERY_S)
            except Exception:  # the outermost edge of this loop: it goes on
                log.exception("a round of commands failed")
                await asyncio.sleep(EVERY_S)

    async def _once(self) -> None:
        now = time.monotonic()
        if now - self._checked >= EVERY_S:
            self._checked = now
            self._wanted = await asyncio.to_thread(self.dispatch.wanted, self._now())
        woken, self._woken = self._woken, set()
        try:
            await self._round(woken)
        except BaseException:
            self._woken |= woken
            raise

    async def _round(self, woken: set[str]) -> None:
        new = self._unknown()
        strayed = await asyncio.to_thread(self.dispatch.strayed, new) if new else set()
        self._wanted |= woken | strayed
        asking = {
            identity: poll.asking
            for identity, poll in self._waiting.items()
            if not poll.told.done() and self._is_wanted(identity)
        }
        if asking:
            made = await asyncio.to_thread(self.dispatch.round, asking, self._now())
            self._answer(asking, made)
        self._known.update(new)  # after the round: what another journal was told of is closed

    def _unknown(self) -> dict[str, str]:
        """Agents that are new here, or come with another journal: another one may have been told
        of their commands."""
        return {
            identity: poll.asking.instance
            for identity, poll in self._waiting.items()
            if self._known.get(identity) != poll.asking.instance
        }

    def _answer(self, asking: dict[str, Asking], made: Round) -> None:
        for identity, one in asking.items():
            told, poll = made.told.get(identity), self._waiting.get(identity)
            if told is not None and poll is not None and poll.asking is one:
                _tell(poll, told)
        self._touched(made.touched)

    def _is_wanted(self, identity: str) -> bool:
        return identity in self._wanted or identity in self._woken


def _tell(poll: _Poll, told: Told) -> None:
    if not poll.told.done():
        poll.told.set_result(told)
