"""Who works at which command: one at a time for each VM, in their order, and so many at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from novacron_agent.commands.clock import Clock
from novacron_agent.commands.counts import CommandCounts
from novacron_agent.commands.entry import Entry, Outcome
from novacron_agent.commands.journal import Journal
from novacron_agent.commands.replay import EXPIRED, replayed
from novacron_agent.commands.settings import CommandsTable
from novacron_agent.commands.work import Work
from novacron_agent.providers.lifecycle import Lifecycle
from novacron_contract.commands import Order, State
from novacron_contract.errors import Unavailable

log = logging.getLogger(__name__)

MAX_WAITING = 256
_AGAIN_S = 1.0


def in_a_thread(work: Callable[[], None]) -> None:
    """A daemon: what hangs in a hypervisor must not keep the process from ending."""
    threading.Thread(target=work, name="command", daemon=True).start()


@dataclass(slots=True)
class _Books:
    waiting: list[Entry] = field(default_factory=list)
    running: dict[str, Entry] = field(default_factory=dict)  # by VM


class Executor:
    """`news` is called whenever there is something to report. `begin` runs what it is given,
    beside the caller."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        counts: CommandCounts,
        news: Callable[[], None],
        begin: Callable[[Callable[[], None]], None] = in_a_thread,
    ) -> None:
        self._journal, self._clock, self._counts = journal, clock, counts
        self._news, self._begin = news, begin
        self._changed = threading.Condition()
        self._closing = False
        self._books = _Books()
        self._table = CommandsTable()
        self._lifecycle: Lifecycle | None = None

    def adopt(self, table: CommandsTable, lifecycle: Lifecycle | None) -> None:
        """What begins from now on is done by these; what has begun goes on as it is."""
        with self._changed:
            before, self._lifecycle = self._lifecycle, lifecycle
            self._table = table
        if before is not None and before is not lifecycle:
            before.close()
        self._pump()

    def restore(self) -> None:
        """Take up what the journal says is not at its end; once, before anything else.

        Raises:
            Unavailable: the journal cannot be read.
        """
        left: list[Entry] = []
        for entry in self._journal.unfinished():
            match replayed(entry, self._clock):
                case Outcome() as outcome:
                    self._end(entry, outcome)
                case goes_on:
                    if goes_on.boot_id != entry.boot_id:
                        self._journal.rebase(goes_on.id, goes_on.expires)
                    left.append(goes_on)
        left.sort(key=lambda entry: (not entry.again, entry.place))  # first what had begun
        with self._changed:
            self._books.waiting = left
        self._pump()
        self._news()

    def take(self, orders: Sequence[Order], received: float) -> bool:
        """Journal them, and see to them; whether any was new. `received`: seconds since boot.

        Raises:
            Unavailable: they cannot be journalled. Nothing is done: they are left with who sent
            them.
        """
        accepted = self._journal.accept(orders, received) if orders else []
        if accepted:
            with self._changed:
                self._books.waiting += accepted
            self._pump()
        if orders:  # those that are known are told of again
            self._news()
        return bool(accepted)

    def cancel(self, ids: Iterable[str]) -> None:
        """What has begun goes on.

        Raises:
            Unavailable: the journal does not take it.
        """
        outcome = Outcome(state=State.CANCELLED, error="it was cancelled before it began")
        for command_id in ids:
            if self._journal.withdraw(command_id, outcome):
                for entry in self._forget(command_id):
                    self._counts.ended(entry.order.verb, State.CANCELLED)
                self._news()

    def expire(self) -> None:
        """Tell of those whose time is over while they wait for others; what could not begin for
        want of a thread is tried again."""
        with self._changed:
            now = self._clock.since_boot()
            over = [e for e in self._books.waiting if now >= e.expires and not e.again]
        for entry in over:
            if self._journal.withdraw(entry.id, Outcome(state=State.EXPIRED, error=EXPIRED)):
                self._counts.ended(entry.order.verb, State.EXPIRED)
                self._news()
            self._forget(entry.id)
        self._pump()

    @property
    def room(self) -> int:
        """How many more may be taken."""
        with self._changed:
            return max(0, MAX_WAITING - len(self._books.waiting))

    @property
    def active(self) -> dict[State, int]:
        with self._changed:
            books = self._books
            return {State.ACCEPTED: len(books.waiting), State.RUNNING: len(books.running)}

    def stop(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self, grace_s: float) -> None:
        """Wait so long for what runs; the rest is left to the journal."""
        self.stop()
        with self._changed:
            self._changed.wait_for(lambda: not self._books.running, grace_s)
            if self._books.running:
                log.warning("%d commands go on after the next start", len(self._books.running))
        if self._lifecycle is not None:
            self._lifecycle.close()

    # -- who works -------------------------------------------------------------------------------

    def _pump(self) -> None:
        while (entry := self._next()) is not None:
            work = self._work_of(entry)
            try:
                self._begin(work)
            except (RuntimeError, MemoryError) as err:  # no thread is to be had
                log.error("%s: not begun yet: %s", entry.id, err)
                with self._changed:
                    self._books.running.pop(entry.order.vm_id, None)
                    self._books.waiting.insert(0, entry)
                    self._changed.notify_all()
                return  # until something ends, or what is over is looked for

    def _next(self) -> Entry | None:
        """The oldest whose VM is free; it is taken for running from now on."""
        with self._changed:
            books = self._books
            if self._closing or len(books.running) >= self._table.parallel:
                return None
            for number, entry in enumerate(books.waiting):
                if entry.order.vm_id not in books.running:
                    del books.waiting[number]
                    books.running[entry.order.vm_id] = entry
                    return entry
        return None

    def _work_of(self, entry: Entry) -> Callable[[], None]:
        with self._changed:
            table, lifecycle = self._table, self._lifecycle
        work = Work(self._journal, self._clock, table, lifecycle, self._news, self._pause)

        def carry_out() -> None:
            try:
                outcome = work.carry_out(entry)
                if outcome is not None:
                    self._end(entry, outcome)
            except Exception:  # the outermost edge of this thread
                log.exception("%s: %s is left as it is", entry.id, entry.order.verb)
            finally:
                with self._changed:
                    self._books.running.pop(entry.order.vm_id, None)
                    self._changed.notify_all()
            self._pump()

        return carry_out

    def _end(self, entry: Entry, outcome: Outcome) -> None:
        """Until the disk takes it, or the agent ends: then the next start finds out anew."""
        while True:
            try:
                if self._journal.end(entry.id, outcome):
                    self._counts.ended(entry.order.verb, outcome.state)
                    log.info(
                        "%s: %s %s: %s",
                        entry.id,
                        entry.order.verb,
                        entry.order.vm_id,
                        " ".join((outcome.state, outcome.error)).strip(),
                    )
                self._news()
                return
            except Unavailable as err:
                log.error("%s: %s, which cannot be journalled: %s", entry.id, outcome.state, err)
                if not self._pause(_AGAIN_S):
                    return

    def _forget(self, command_id: str) -> list[Entry]:
        with self._changed:
            before = self._books.waiting
            self._books.waiting = [entry for entry in before if entry.id != command_id]
            return [entry for entry in before if entry.id == command_id]

    def _pause(self, seconds: float) -> bool:
        """False: the agent ends."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._closing, seconds)
