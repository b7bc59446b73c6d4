"""Commands as a part of the agent: beside measuring, which never waits for them."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from novacron_agent.commands.channel import Way
from novacron_agent.commands.clock import Clock, this_boot
from novacron_agent.commands.counts import CommandCounts
from novacron_agent.commands.executor import Executor
from novacron_agent.commands.journal import Journal
from novacron_agent.commands.poller import WAIT_S, Poller
from novacron_agent.commands.reporter import Reporter
from novacron_agent.commands.settings import CommandsTable
from novacron_agent.providers.lifecycle import Lifecycle
from novacron_agent.readings import Reading
from novacron_agent.status.status import CommandsStatus
from novacron_contract.commands import State
from novacron_contract.errors import Unavailable
from novacron_otlp.answer import one_line

log = logging.getLogger(__name__)

_EFFECTS_S = (
    1.5  # for what runs, from the order to end on; a guest that shuts down takes longer anyway
)
_REPORTS_S = 0.5
_RESTORE_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the settings, and whether the agent has joined, make of commands. `way`: None where it
    has not; `provider`: its name; `version` is the agent's."""

    table: CommandsTable
    journal: Path
    way: Way | None
    lifecycle: Lifecycle | None
    provider: str = ""
    version: str = ""

    @property
    def is_on(self) -> bool:
        return self.way is not None and self.table.enabled is not False


class CommandService:
    """Lives through new settings: what runs goes on, what comes next is done by the new ones."""

    def __init__(self, clock: Clock | None = None, wait_s: float = WAIT_S) -> None:
        self._clock, self._wait_s = clock or this_boot(), wait_s
        self._counts = CommandCounts()
        self._running: Running | None = None
        self._said: str = ""

    def adopt(self, now: Situation) -> None:
        """Returns at once."""
        self._said = ""
        if now.table.enabled and now.way is None:
            self._said = "this agent has joined no collector: see novacron-agent join"
            log.warning("commands: %s", self._said)
        running = self._running
        if running is not None and (not now.is_on or running.journal != now.journal):
            self._running = None
            running.stop()
            threading.Thread(target=running.close, name="commands end", daemon=True).start()
        if not now.is_on:
            if now.lifecycle is not None:
                now.lifecycle.close()
            return
        if self._running is None:
            self._running = Running(now.journal, self._clock, self._counts, self._wait_s)
        self._running.adopt(now)

    def add_to(self, reading: Reading) -> None:
        if self._running is not None:
            self._counts.add_to(reading)
            self._running.add_to(reading)

    def said(self) -> CommandsStatus | None:
        """For the agent's status; None where commands are off, and nothing is to be said."""
        if self._running is not None:
            return self._running.said(self._counts.total())
        return CommandsStatus(trouble=self._said) if self._said else None

    def stop(self) -> None:
        """Take and begin nothing more. Returns at once."""
        if self._running is not None:
            self._running.stop()

    def close(self) -> None:
        """What runs gets a moment more; the rest is found in the journal by the next start."""
        if self._running is not None:
            self._running.close()


class Running:
    def __init__(self, journal: Path, clock: Clock, counts: CommandCounts, wait_s: float) -> None:
        self.journal = journal
        self._clock, self._counts, self._wait_s = clock, counts, wait_s
        self._journal = Journal(journal, clock)
        self._executor = Executor(self._journal, clock, counts, self._news)
        self._lock = threading.Lock()
        self._now: Situation | None = None
        self._poller: Poller | None = None
        self._reporter: Reporter | None = None
        self._stopping = threading.Event()
        self._until = 0.0
        self._trouble = ""

    def adopt(self, now: Situation) -> None:
        with self._lock:
            is_first, self._now = self._now is None, now
            if self._stopping.is_set():
                return
            if is_first:
                begin = threading.Thread(target=self._begin, name="journal", daemon=True)
                self._executor.adopt(now.table, now.lifecycle)
                begin.start()
                return
            self._executor.adopt(now.table, now.lifecycle)
            if self._poller is not None:
                self._speak(now)

    def stop(self) -> None:
        if not self._stopping.is_set():
            self._until = time.monotonic() + _EFFECTS_S
        self._stopping.set()
        with self._lock:
            if self._poller is not None:
                self._poller.stop()
        self._executor.stop()

    def close(self) -> None:
        self.stop()
        self._executor.close(max(0.0, self._until - time.monotonic()))
        if self._reporter is not None:
            self._reporter.close(_REPORTS_S)
        self._journal.close()

    def add_to(self, reading: Reading) -> None:
        for state, number in self._executor.active.items():
            reading.add("novacron.agent.command.active", number, {"novacron.command.state": state})
        waiting = 0 if self._reporter is None else self._reporter.waiting
        reading.add("novacron.agent.command.report.count", waiting)
        reading.add("novacron.agent.journal.errors", self._journal.file.errors)
        reading.add("novacron.agent.journal.set_aside", self._journal.file.set_aside)

    def said(self, ended: dict[State, int]) -> CommandsStatus:
        active = self._executor.active
        parts = [part.trouble.now for part in (self._poller, self._reporter) if part is not None]
        return CommandsStatus(
            waiting=active[State.ACCEPTED],
            running=active[State.RUNNING],
            ended={state.value: number for state, number in sorted(ended.items())},
            reports=0 if self._reporter is None else self._reporter.waiting,
            trouble=one_line("; ".join(dict.fromkeys(filter(None, (self._trouble, *parts))))),
        )

    def _begin(self) -> None:
        """Beside the agent's start: the disk may be slow, or another agent hold the journal."""
        while not self._stopping.is_set():
            try:
                self._executor.restore()
                break
            except Unavailable as err:
                if str(err) != self._trouble:
                    log.error("commands: %s", err)
                self._trouble = str(err)
                self._stopping.wait(_RESTORE_AGAIN_S)
        with self._lock:
            self._trouble = ""
            if not self._stopping.is_set() and self._now is not None:
                self._speak(self._now)

    def _speak(self, now: Situation) -> None:
        """To the collector, from now on in this way."""
        if now.way is None:
            return
        verbs = frozenset() if now.lifecycle is None else now.lifecycle.verbs()
        allowed = sorted(verb.value for verb in verbs if now.table.allows_verb(verb))
        about = {"version": now.version, "verbs": allowed, "provider": now.provider}
        if self._poller is not None and self._reporter is not None:
            self._poller.adopt(now.way, about)
            self._reporter.adopt(now.way)
            return
        self._reporter = Reporter(now.way, self._journal, self._executor, self._counts)
        self._poller = Poller(
            *(now.way, about, self._journal, self._executor, self._clock, self._counts),
            news=self._news,
            wait_s=self._wait_s,
        )
        self._reporter.start()
        self._poller.start()

    def _news(self) -> None:
        if self._reporter is not None:
            self._reporter.news()
