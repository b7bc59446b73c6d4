"""The thread that asks the collector for orders, and is held there until one comes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from novacron_agent.commands.backoff import Backoff
from novacron_agent.commands.channel import Channel, ChannelError, Polled, Way, is_id
from novacron_agent.commands.clock import Clock
from novacron_agent.commands.counts import CommandCounts
from novacron_agent.commands.entry import Outcome
from novacron_agent.commands.executor import Executor
from novacron_agent.commands.journal import Journal
from novacron_agent.commands.trouble import Trouble
from novacron_contract.commands import Order, State, order
from novacron_contract.errors import BadMessage, Unavailable

log = logging.getLogger(__name__)

WAIT_S = 25.0
_AT_ONCE = 16  # orders of one answer
_SOON_S = 0.5  # an answer with nothing new that came so soon was not held
_PAGE = 500
_PAGES = 10
_LONGEST_S = 7 * 86400  # the journal remembers an order as long
_COMPARE_EVERY_S = 86400.0


class Poller:
    """`about` is told at each new connection: version, verbs, ... `refused` is called with what
    has ended before it began."""

    def __init__(
        self,
        way: Way,
        about: Mapping[str, Any],
        journal: Journal,
        executor: Executor,
        clock: Clock,
        counts: CommandCounts,
        news: Callable[[], None],
        wait_s: float = WAIT_S,
    ) -> None:
        self._channel, self._about = Channel(way), about
        self._journal, self._executor, self._clock = journal, executor, clock
        self._counts, self._news, self._wait_s = counts, news, wait_s
        self._compared_at = float("-inf")
        self.trouble = Trouble("commands")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def adopt(self, way: Way, about: Mapping[str, Any]) -> None:
        """From the next poll on; what the one under way brings is taken."""
        self._about = about
        self._channel.adopt(way)

    def stop(self) -> None:
        """What comes from now on is not accepted: it is left with the collector."""
        self._stopping.set()

    def _run(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            try:
                self._step()
            except Unavailable as err:
                self._counts.failed("poll")
                self.trouble.is_now(str(err))
                asked = err.after_s if isinstance(err, ChannelError) else 0.0
                self._stopping.wait(backoff.failed(asked))
            except Exception:  # the outermost edge of this thread: the next order is taken
                log.exception("taking orders failed")
                self._stopping.wait(backoff.failed())
            else:
                backoff.succeeded()
                self.trouble.is_over()
        self._channel.close()

    def _step(self) -> None:
        instance = self._journal.instance
        if self._channel.is_new:
            boot = {"instance": instance, "boot_id": self._clock.boot_id}
            self._channel.hello({**boot, **self._about})
            self._compare(instance)
        room = min(self._executor.room, _AT_ONCE)
        if not room:
            self._stopping.wait(_SOON_S)
            return
        began = time.monotonic()
        polled = self._channel.poll(instance, self._wait_s, room)
        if self._stopping.is_set():
            return
        is_new = self._take(polled, room)
        self._executor.cancel(polled.cancelled)
        if not is_new and time.monotonic() - began < min(_SOON_S, self._wait_s):
            self._stopping.wait(_SOON_S)

    def _take(self, polled: Polled, room: int) -> bool:
        """Whether any was new."""
        received = self._clock.since_boot()
        orders: list[Order] = []
        refused = False
        for raw in polled.orders[:room]:  # no more were asked for
            try:
                orders.append(_bounded(order(raw)))
            except BadMessage as err:
                refused |= self._refuse(raw, err)
        return self._executor.take(orders, received) or refused

    def _refuse(self, raw: object, err: BadMessage) -> bool:
        """What this release does not understand has an end, too, if it says which it is."""
        match raw:
            case {"id": str(command_id), "verb": str(verb), "vm_id": str(vm_id)} if (
                is_id(command_id) and _is_short(verb) and _is_short(vm_id)
            ):
                error = f"this agent's release does not understand it: {err}"
                outcome = Outcome(state=State.REJECTED, error=error)
                is_new = self._journal.refuse(command_id, verb, vm_id, outcome)
                if is_new:
                    self._news()
                return is_new
        log.warning("the collector sent what is no order: %s", err)
        return False

    def _compare(self, instance: str) -> None:
        """Once a day the collector holds its record against ours."""
        if time.monotonic() - self._compared_at < _COMPARE_EVERY_S:
            return
        place = self._journal.last_place() - _PAGE * _PAGES
        for _ in range(_PAGES):
            place, entries = self._journal.page(place, _PAGE)
            if not entries:
                break
            self._channel.journal(instance, entries)
        self._compared_at = time.monotonic()


def _bounded(one: Order) -> Order:
    if not (0 < one.timeout_s <= _LONGEST_S and 0 <= one.ttl_ms <= _LONGEST_S * 1000):
        raise BadMessage(f"timeout_s and ttl_ms: expected 0 to {_LONGEST_S} s")
    return one


def _is_short(text: str) -> bool:
    return 0 < len(text) <= 64 and text.isprintable()
