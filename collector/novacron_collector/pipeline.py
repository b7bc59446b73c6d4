"""Requests to committed rows: those that arrive together are decoded and written together.

A request is answered after its rows are committed. One worker thread decodes and writes; while it
does, the next requests gather.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import xxhash

from novacron_collector.otlp.decoded import Decoded, Outcome
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.store import Store
from novacron_contract.errors import NovaCronError, Unavailable

log = logging.getLogger(__name__)

_GROUP_BYTES = 32 * 2**20  # decoded together at most: bounds the memory of one write
_OUR_BUG = "the collector failed to handle this request; its log has the details"


@dataclass(frozen=True, slots=True)
class Request:
    """An OTLP/protobuf body. `clock_offset_s`: the sender's clock minus ours, where it told."""

    body: bytes
    clock_offset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What one write stored; `requests` are parallel to `decoded.outcomes`."""

    requests: Sequence[Request]
    decoded: Decoded


@dataclass
class Counts:
    """What happened since the start."""

    requests: int = 0
    points: int = 0
    commits: int = 0
    failures: int = 0
    undecodable: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, outcomes: Sequence[Outcome]) -> None:
        self.commits += 1
        self.requests += len(outcomes)
        for outcome in outcomes:
            self.points += outcome.points
            self.undecodable += bool(outcome.error)
            for reason, count in outcome.rejected.items():
                self.rejected[reason.name.lower()] += count


_Waiting = tuple[Request, "asyncio.Future[Outcome]"]


class Pipeline:
    """`run()` for as long as the process lives; `observers` are called after each commit, in the
    worker's thread."""

    def __init__(
        self,
        decoder: Decoder,
        store: Store,
        commit_every_s: float,
        observers: Sequence[Callable[[Committed], None]] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._decoder = decoder
        self._store = store
        self._commit_every_s = commit_every_s
        self._observers = observers
        self._now = now
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._closing = False
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="writer")
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
        """Commit what arrives, until `drain` was called and nothing is left."""
        while not (self._closing and not self._waiting):
            await self._arrived.wait()
            if not self._closing:
                await asyncio.sleep(self._commit_every_s)
            self._arrived.clear()
            while group := self._next_group():
                await self._in_worker(lambda group=group: self._commit(group))  # type: ignore[misc]

    async def open(self) -> None:
        """
        Raises:
            NovaCronError: the store cannot be used now.
        """
        await self._in_worker(self._store.open)

    def drain(self) -> None:
        """Refuse what comes from now on; `run` ends when what has come is answered."""
        self._closing = True
        self._arrived.set()

    def close(self) -> None:
        self._worker.shutdown()
        self._store.close()

    def _next_group(self) -> list[_Waiting]:
        size = count = 0
        for request, _ in self._waiting:
            if count and size + len(request.body) > _GROUP_BYTES:
                break
            size += len(request.body)
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def _in_worker(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._worker, work)

    # -- in the worker's thread -----------------------------------------------------------------

    def _commit(self, group: Sequence[_Waiting]) -> None:
        requests = [request for request, _ in group]
        try:
            decoded = self._decoder.decode([request.body for request in requests], self._now())
            self._store.write(decoded.batch, _token(requests, decoded))
        except NovaCronError as err:
            self._fail(group, Unavailable(str(err)))
        except Exception:  # the outermost edge of one group: the process goes on
            log.exception("a group of %d requests cannot be handled", len(group))
            self._fail_alone(group)
        else:
            self._answer(group, decoded.outcomes)
            self._tell(Committed(requests, decoded))

    def _fail_alone(self, group: Sequence[_Waiting]) -> None:
        """One request may be the reason: its neighbours are not to suffer."""
        self._decoder.forget()
        if len(group) == 1:
            self._fail(group, Unavailable(_OUR_BUG))
            return
        for waiting in group:
            self._commit([waiting])

    def _fail(self, group: Sequence[_Waiting], err: NovaCronError) -> None:
        self._decoder.forget()
        self.counts.failures += len(group)
        for _, answer in group:
            answer.get_loop().call_soon_threadsafe(_set_exception, answer, err)

    def _answer(self, group: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        self.counts.add(outcomes)
        for (_, answer), outcome in zip(group, outcomes, strict=True):
            answer.get_loop().call_soon_threadsafe(_set_result, answer, outcome)

    def _tell(self, committed: Committed) -> None:
        for observer in self._observers:
            try:
                observer(committed)
            except Exception:  # what is stored stays stored and acknowledged
                log.exception("an observer of commits failed")


def _token(requests: Sequence[Request], decoded: Decoded) -> str:
    """Equal for the same requests with the same outcome: sent again, they are stored once."""
    digest = xxhash.xxh3_128()
    for request, outcome in zip(requests, decoded.outcomes, strict=True):
        digest.update(len(request.body).to_bytes(8, "little") + request.body)
        digest.update(f"{outcome.points} {sorted(outcome.rejected.items())}".encode())
    return digest.hexdigest()


def _set_result(answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not answer.done():  # the sender may have gone
        answer.set_result(outcome)


def _set_exception(answer: asyncio.Future[Outcome], err: Exception) -> None:
    if not answer.done():
        answer.set_exception(err)
