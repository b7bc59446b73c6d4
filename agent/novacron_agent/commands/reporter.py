"""The thread that tells the collector what became of its orders, until it has taken it."""

from __future__ import annotations

import logging
import threading
import time

from novacron_agent.commands.backoff import Backoff
from novacron_agent.commands.channel import Channel, ChannelError, Way
from novacron_agent.commands.counts import CommandCounts
from novacron_agent.commands.executor import Executor
from novacron_agent.commands.journal import Journal
from novacron_agent.commands.trouble import Trouble
from novacron_contract.commands import Report, State
from novacron_contract.errors import Unavailable

log = logging.getLogger(__name__)

_MAX_REPORTS = 100
_MAX_BYTES = 250 * 1024
_IDLE_S = 30.0
_WAITING_S = 1.0  # so often it is looked whether the time of those that wait is over
_PRUNE_EVERY_S = 3600.0
_UNDERSTOOD_NOT = frozenset({400, 413, 422})


class Reporter:
    """`waiting`: reports that were not taken yet."""

    def __init__(
        self, way: Way, journal: Journal, executor: Executor, counts: CommandCounts
    ) -> None:
        self._channel = Channel(way)
        self._journal, self._executor, self._counts = journal, executor, counts
        self.trouble = Trouble("reports of commands")
        self.waiting = 0
        self._at_once = _MAX_REPORTS
        self._pruned_at = float("-inf")
        self._news, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def adopt(self, way: Way) -> None:
        self._channel.adopt(way)

    def news(self) -> None:
        self._news.set()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()

    def close(self, grace_s: float) -> None:
        """Tell what there is to tell, for so long; the rest is told after the next start."""
        self.stop()
        self._thread.join(grace_s)

    def _run(self) -> None:
        backoff = Backoff()
        is_last = False
        while not is_last:
            is_last = self._stopping.is_set()
            try:
                self._step()
            except Unavailable as err:
                self._counts.failed("report")
                self.trouble.is_now(str(err))
                asked = err.after_s if isinstance(err, ChannelError) else 0.0
                self._stopping.wait(backoff.failed(asked))
            except Exception:  # the outermost edge of this thread
                log.exception("telling of commands failed")
                self._stopping.wait(backoff.failed())
            else:
                backoff.succeeded()
                self.trouble.is_over()
                if not is_last:
                    self._wait()
        self._channel.close()

    def _wait(self) -> None:
        waits = self._executor.active[State.ACCEPTED] > 0
        self._news.wait(_WAITING_S if waits else _IDLE_S)

    def _step(self) -> None:
        """Tell all there is."""
        self._news.clear()
        self._executor.expire()
        if time.monotonic() - self._pruned_at > _PRUNE_EVERY_S:
            self._journal.prune()
            self._pruned_at = time.monotonic()
        while reports := self._journal.reports(self._at_once, _MAX_BYTES):
            self.waiting = self._journal.waiting()
            self._tell(reports)
        self.waiting = 0

    def _tell(self, reports: list[Report]) -> None:
        try:
            taken = self._channel.report(self._journal.instance, reports)
        except ChannelError as err:
            if err.answered not in _UNDERSTOOD_NOT:
                raise
            self._not_understood(reports, err)
            return
        self._at_once = _MAX_REPORTS
        told = {(one.command_id, one.number) for one in reports}
        done = told & set(taken.reports)
        unknown = {one.command_id for one in reports} & set(taken.unknown)
        if not done and not unknown:
            raise Unavailable("the collector took none of the reports")
        self._journal.taken(done, unknown)

    def _not_understood(self, reports: list[Report], err: ChannelError) -> None:
        """One of them is at fault: told one by one it is found, and given up."""
        if len(reports) > 1:
            self._at_once = 1
            return
        [one] = reports
        log.error("report %d of command %s: %s; given up", one.number, one.command_id, err)
        self._journal.taken([(one.command_id, one.number)])
