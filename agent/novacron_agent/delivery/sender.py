"""The sender of one destination: a thread that delivers what waits until it is answered for good.

The newest batch goes first after each failure, and after every few old ones: who watches sees what
is now while a backlog drains.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from typing import Protocol

from novacron_agent.delivery.batch import Batch, Dropped, Gap
from novacron_agent.delivery.counts import DeliveryCounts
from novacron_agent.delivery.intake import Intake
from novacron_agent.delivery.split import halves
from novacron_agent.delivery.spool import Spool
from novacron_agent.otlp import Request
from novacron_contract.errors import Unavailable
from novacron_otlp.answer import Accepted, Doubtful, Later, Refused, TooLarge
from novacron_otlp.connection import Connection, Transport

log = logging.getLogger(__name__)

_OLD_PER_LIVE = 4
_LONGEST_WAIT_S = 60.0
_LONGEST_WITHOUT_CONNECTION_S = 3.0  # it costs nobody anything, and who is back is found soon
_IDLE_S = 1.0
_TRIES = 5  # of what a destination fails over while it takes others
_COMPLAINTS = 100  # different reasons that are logged
_DOUBTS = 1000


class Source(Protocol):
    """Where a batch is taken from, and what is done with it afterwards."""

    def ack(self, batch: Batch) -> None: ...

    def let_go(self, batch: Batch) -> None: ...

    def bury(self, batch: Batch, reason: str) -> None: ...

    def split(self, batch: Batch, halves: tuple[Request, Request]) -> None: ...


class Sender:
    """`first_wait_s`: the pause after the first failure; each one after it is twice as long.
    `files`: another one when certificates are new."""

    def __init__(
        self,
        name: str,
        open_transport: Callable[[], Transport],
        spool: Spool,
        intake: Intake,
        counts: DeliveryCounts,
        news: threading.Event,
        encode_gaps: Callable[[list[Gap]], Request],
        first_wait_s: float = 1.0,
        files: Callable[[], object] = lambda: None,
    ) -> None:
        self._name, self._connection = name, Connection(open_transport, files)
        self._spool, self._intake, self._counts, self._news = spool, intake, counts, news
        self._encode_gaps = encode_gaps
        self._first_wait_s = self._wait_s = first_wait_s
        self._stopping = threading.Event()
        self._old_since_live = _OLD_PER_LIVE
        self._delivered = 0  # batches
        # Of batches, by their ids: a spool that is begun anew gives places a second time
        self._not_removed: set[uuid.UUID] = set()  # delivered while the disk failed
        self._doubts: dict[uuid.UUID, tuple[int, int]] = {}  # tries, deliveries until the last
        self._failing_since: float | None = None
        self._complaints: set[str] = set()
        self.trouble = ""  # why nothing is taken now
        self.last_refusal = ""
        self._thread = threading.Thread(target=self._run, name=f"send {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, grace_s: float) -> None:
        """Have an answer to what is under way, for so long. The rest waits in the spool."""
        self._stopping.set()
        self._news.set()
        self._thread.join(grace_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except Unavailable:  # the writer tells of the disk, and counts
                self._stopping.wait(_IDLE_S)
            except Exception:  # the outermost edge of this destination: its thread goes on
                log.exception("%s: sending failed", self._name)
                self._stopping.wait(_LONGEST_WAIT_S)
        self._connection.close()

    def _step(self) -> None:
        found = self._pick()
        if found is None:
            self._news.wait(_IDLE_S)
            self._news.clear()
            return
        source, batch = found
        answer = self._connection.send(batch.body)
        match answer:
            case Accepted():
                self._taken(source, batch, answer)
            case TooLarge(reason) if (parts := halves(batch.body)) is not None:
                log.info("%s: %s; sent in halves", self._name, reason)
                source.split(batch, parts)
            case TooLarge(reason) | Refused(reason):
                self._bury(source, batch, reason)
            case Doubtful(reason) if self._is_hopeless(batch):
                self._bury(source, batch, reason)
            case Doubtful(reason):
                source.let_go(batch)
                self._pause(Later(reason))
            case Later():
                source.let_go(batch)
                self._pause(answer)

    # -- which one -------------------------------------------------------------------------------

    def _pick(self) -> tuple[Source, Batch] | None:
        """The newest after every few old ones; from memory when the disk does not do its part."""
        newest = self._old_since_live >= _OLD_PER_LIVE
        self._old_since_live = 0 if newest else self._old_since_live + 1
        stuck = self._intake.is_stuck
        if stuck and (fresh := self._intake.take(newest=newest)) is not None:
            return self._intake, fresh
        while (batch := self._spool.take(newest=newest)) is not None:
            if batch.id not in self._not_removed:
                return self._spool, batch
            self._spool.ack(batch)
            self._not_removed.discard(batch.id)
        return None

    # -- what came back --------------------------------------------------------------------------

    def _taken(self, source: Source, batch: Batch, answer: Accepted) -> None:
        self._note_answer(batch)
        self._doubts.pop(batch.id, None)
        rejected = min(answer.rejected, batch.points)
        self._counts.taken(batch.points - rejected)
        if rejected:
            self._counts.dropped(Dropped.REJECTED, rejected)
            self._complain(rejected, answer.reason or "no reason given")
        try:
            source.ack(batch)
        except Unavailable:
            self._not_removed.add(batch.id)
            raise
        self._spool.tell_gaps(self._encode_gaps)

    def _bury(self, source: Source, batch: Batch, reason: str) -> None:
        self._note_answer(None)
        self._doubts.pop(batch.id, None)
        source.bury(batch, reason)
        self._counts.buried()
        self._complain(batch.points, f"batch {batch.id}: {reason}", of=reason)

    def _is_hopeless(self, batch: Batch) -> bool:
        """The destination failed over it again and again, and took others in between."""
        if len(self._doubts) > _DOUBTS:
            self._doubts.clear()
        tries, seen = self._doubts.get(batch.id, (0, -1))
        tries += self._delivered > seen
        self._doubts[batch.id] = (tries, self._delivered)
        return tries >= _TRIES

    def _pause(self, answer: Later) -> None:
        self._counts.failed()
        self._note_failure(answer.reason)
        self._old_since_live = _OLD_PER_LIVE
        longest = _LONGEST_WITHOUT_CONNECTION_S if answer.unreachable else _LONGEST_WAIT_S
        wait = min(self._wait_s, longest)
        self._wait_s = min(2 * wait, longest)
        # Jitter: agents that lost their collector together must not come back together
        asked = answer.after_s * random.uniform(1.0, 1.1)
        self._stopping.wait(max(wait * random.uniform(0.5, 1.0), asked))

    # -- telling what happened -------------------------------------------------------------------

    def _note_answer(self, taken: Batch | None) -> None:
        self._wait_s = self._first_wait_s
        if self._failing_since is not None:
            gone = time.monotonic() - self._failing_since
            waiting = self._spool.state.batches
            log.info(
                "%s: it answers again after %.0f s, %d batches wait", self._name, gone, waiting
            )
            self._failing_since, self.trouble = None, ""
        elif taken is not None and not self._delivered:
            log.info("%s: first export: %d points were taken", self._name, taken.points)
        self._delivered += taken is not None

    def _note_failure(self, reason: str) -> None:
        self.trouble = reason
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            log.warning("%s: %s; trying again", self._name, reason)

    def _complain(self, points: int, reason: str, of: str = "") -> None:
        """Counted always; said once for each reason."""
        self.last_refusal = reason
        if (of or reason) not in self._complaints and len(self._complaints) < _COMPLAINTS:
            self._complaints.add(of or reason)
            log.warning(
                "%s: %d points given up: %s (said once; they are counted)",
                *(self._name, points, reason),
            )
