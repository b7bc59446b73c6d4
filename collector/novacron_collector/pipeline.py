"""Requests to the log: those that arrive together are decoded and logged together.

A request is answered when its rows are in the log, on disk. One worker thread decodes and logs;
while it does, the next requests gather.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from novacron_collector.otlp.decoded import Decoded, Outcome
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.wal.batches import pack
from novacron_collector.wal.ledger import Ledger, key_of
from novacron_collector.wal.log import Log
from novacron_collector.wal.poison import Poison
from novacron_contract.errors import BadMessage, NovaCronError, Unavailable

log = logging.getLogger(__name__)

_GROUP_BYTES = 32 * 2**20  # decoded together at most: bounds the memory of one append
_LOGGED = 3  # an OTLP body is at least so many times as large as its rows in the log
_EARLIEST = 1_767_225_600  # 2026-01-01: a clock that says less is not set yet
_NO_CLOCK = "the clock of the collector's machine is wrong (%s): set it"
_OUR_BUG = "the collector failed to handle this request; its log has the details"
_POISON = "the collector failed on this request again and again, and takes it no more"


@dataclass(frozen=True, slots=True)
class Request:
    """An OTLP/protobuf body. `sent`: what came over the wire, where that is something else.
    `clock_offset_s`: the sender's clock minus ours, where it told. `own`: the collector
    reports of itself, which is not counted. `agent_id`: the identity that the sender proved."""

    body: bytes
    clock_offset_s: float | None = None
    sent: bytes | None = None
    own: bool = False
    agent_id: str | None = None

    def key(self) -> bytes:
        return key_of(self.body if self.sent is None else self.sent)


@dataclass(frozen=True, slots=True)
class Committed:
    """What one append logged; `requests` are parallel to `decoded.outcomes`."""

    requests: Sequence[Request]
    decoded: Decoded


@dataclass
class Counts:
    """What happened since the start."""

    requests: int = 0
    repeated: int = 0
    points: int = 0
    commits: int = 0
    failures: int = 0
    undecodable: int = 0
    rounded: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, outcomes: Sequence[Outcome]) -> None:
        self.commits += 1
        self.requests += len(outcomes)
        for outcome in outcomes:
            self.points += outcome.points
            self.rounded += outcome.rounded
            self.undecodable += bool(outcome.error)
            for reason, count in outcome.rejected.items():
                self.rejected[reason.name.lower()] += count


_Waiting = tuple[Request, "asyncio.Future[Outcome]"]
_Keyed = tuple[bytes, _Waiting]


class Pipeline:
    """`run()` for as long as the process lives; `observers` are called after each append, and
    `before`, which must not fail, before it; both in the worker's thread."""

    def __init__(
        self,
        decoder: Decoder,
        wal: Log,
        ledger: Ledger,
        poison: Poison,
        commit_every_s: float,
        observers: Sequence[Callable[[Committed], None]] = (),
        before: Callable[[Committed], None] = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._decoder = decoder
        self._wal = wal
        self._ledger = ledger
        self._poison = poison
        self._commit_every_s = commit_every_s
        self._observers = observers
        self._before = before
        self._now = now
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._closing = False
        self._describe_again = False
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="log")
        self.counts = Counts()

    async def store(self, request: Request) -> Outcome:
        """
        Raises:
            Unavailable: it is not stored; the same request may be sent again.
        """
        if self._closing:
            raise Unavailable("the collector is shutting down")
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        self._arrived.set()
        return await answer

    async def run(self) -> None:
        """Log what arrives, until `drain` was called and nothing is left."""
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._waiting):
            await self._arrived.wait()
            if not self._closing:
                await asyncio.sleep(self._commit_every_s)
            self._arrived.clear()
            while group := self._next_group():
                await loop.run_in_executor(self._worker, self._handle, group)

    def drain(self) -> None:
        """Refuse what comes from now on; `run` ends when what has come is answered."""
        self._closing = True
        self._arrived.set()

    def close(self) -> None:
        self._worker.shutdown()

    def describe_again(self) -> None:
        """Something that was logged is lost: every series is to be described again. Any thread."""
        self._describe_again = True

    def _next_group(self) -> list[_Waiting]:
        size = count = 0
        for request, _ in self._waiting:
            if count and size + len(request.body) > _GROUP_BYTES:
                break
            size += len(request.body)
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    # -- in the worker's thread -----------------------------------------------------------------

    def _handle(self, group: Sequence[_Waiting]) -> None:
        keyed = [(waiting[0].key(), waiting) for waiting in group]
        known = self._ledger.known([key for key, _ in keyed])
        self._poison.cleared(known)
        self._repeat([waiting for key, waiting in keyed if key in known])
        fresh = [one for one in keyed if one[0] not in known]
        suspects = self._poison.suspects(key for key, _ in fresh)
        together = [one for one in fresh if one[0] not in suspects]
        if together:
            self._commit(together)
        for one in fresh:
            if one[0] in suspects:
                self._commit_suspect(one)

    def _commit_suspect(self, one: _Keyed) -> None:
        key, (request, _) = one
        if self._poison.is_poison(key):
            self._poison.keep(key, request.body)
            self._refuse([one], BadMessage(_POISON))
        else:
            self._commit([one])

    def _commit(self, group: Sequence[_Keyed]) -> None:
        requests = [request for _, (request, _) in group]
        try:
            self._require_a_clock()
            self._wal.require_room(sum(len(request.body) for request in requests) // _LOGGED)
        except NovaCronError as err:  # before anything was decoded: nothing is to be forgotten
            self._refuse(group, err)
            return
        if self._describe_again:
            self._describe_again = False
            self._decoder.forget()
        keys = [key for key, _ in group]
        try:
            with self._poison.in_hand(keys):
                bodies = [request.body for request in requests]
                proven = [request.agent_id is not None for request in requests]
                decoded = self._decoder.decode(bodies, self._now(), proven)
            self._before(Committed(requests, decoded))
            self._log(keys, decoded)
        except NovaCronError as err:
            self._fail(group, err)
        except (OSError, MemoryError) as err:  # of this machine, and no fault of the request
            log.exception("a group of %d requests cannot be handled now", len(group))
            self._fail(group, Unavailable(f"the collector cannot handle this now: {err}"))
        except Exception:  # the outermost edge of one group: the process goes on
            log.exception("a group of %d requests cannot be handled", len(group))
            self._fail_alone(group)
        else:
            self._poison.cleared(keys)
            self._answer(group, decoded.outcomes)
            self._tell(Committed(requests, decoded))

    def _require_a_clock(self) -> None:
        """By a wrong clock good points would be rejected, and their senders would drop them."""
        now = self._now()
        if now < _EARLIEST:
            raise Unavailable(_NO_CLOCK % datetime.fromtimestamp(now, UTC).date())

    def _log(self, keys: Sequence[bytes], decoded: Decoded) -> None:
        """Requests of which everything is stored are known from now on; others are looked at again
        if they are sent again, and told again what is wrong with them."""
        stored = [key for key, o in zip(keys, decoded.outcomes, strict=True) if o.is_whole]
        if not decoded.batch.tables:
            return
        packed = pack(decoded.batch, stored)
        self._wal.append(packed.meta, packed.data, decoded.batch.points)
        self._ledger.add(stored, self._now())

    def _fail_alone(self, group: Sequence[_Keyed]) -> None:
        """One request may be the reason: its neighbours are not to suffer."""
        self._decoder.forget()
        if len(group) == 1:
            self._poison.failed(group[0][0])
            self._fail(group, Unavailable(_OUR_BUG))
            return
        for waiting in group:
            self._commit([waiting])

    def _fail(self, group: Sequence[_Keyed], err: NovaCronError) -> None:
        """What was decoded never reached the log."""
        self._decoder.forget()
        self._refuse(group, err)

    def _refuse(self, group: Sequence[_Keyed], err: NovaCronError) -> None:
        self.counts.failures += sum(not request.own for _, (request, _) in group)
        for _, (_, answer) in group:
            answer.get_loop().call_soon_threadsafe(_set_exception, answer, err)

    def _answer(self, group: Sequence[_Keyed], outcomes: Sequence[Outcome]) -> None:
        pairs = zip(group, outcomes, strict=True)
        self.counts.add([outcome for (_, (request, _)), outcome in pairs if not request.own])
        for (_, (_, answer)), outcome in zip(group, outcomes, strict=True):
            answer.get_loop().call_soon_threadsafe(_set_result, answer, outcome)

    def _repeat(self, group: Sequence[_Waiting]) -> None:
        self.counts.repeated += len(group)
        for _, answer in group:
            answer.get_loop().call_soon_threadsafe(_set_result, answer, Outcome())

    def _tell(self, committed: Committed) -> None:
        for observer in self._observers:
            try:
                observer(committed)
            except Exception:  # what is stored stays stored and acknowledged
                log.exception("an observer of commits failed")


def _set_result(answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not answer.done():  # the sender may have gone
        answer.set_result(outcome)


def _set_exception(answer: asyncio.Future[Outcome], err: Exception) -> None:
    if not answer.done():
        answer.set_exception(err)
