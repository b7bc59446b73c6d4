"""From a request to the store and to other destinations: pipeline, log, writer and forwarder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version

from novacron_collector.forward.forwarder import Forwarder, least_free
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.pipeline import Committed, Pipeline
from novacron_collector.settings import Settings, WalSettings
from novacron_collector.store import Store
from novacron_collector.wal.batches import keys_of
from novacron_collector.wal.ledger import Ledger
from novacron_collector.wal.log import Log, LogLimits
from novacron_collector.wal.poison import Poison
from novacron_collector.writing import WriterThread
from novacron_contract.errors import ConfigError

_FORWARD_STOP_S = 8.0  # what is not sent by then waits for the next start


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """The parts, made and not yet started."""

    log: Log
    ledger: Ledger
    poison: Poison
    forwarder: Forwarder
    decoder: Decoder
    pipeline: Pipeline
    writer: WriterThread

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write and forward what is logged; at the end, as much as time allows of what is left."""
        self.writer.start()
        self.forwarder.start()
        try:
            yield
        finally:
            await asyncio.gather(
                asyncio.to_thread(self.writer.stop),
                asyncio.to_thread(self.forwarder.stop, _FORWARD_STOP_S),
            )
            self.poison.close()
            self.log.close()

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[None]:
        """Take requests; at the end those that have come are answered, and no more are taken."""
        task = asyncio.create_task(self.pipeline.run())
        try:
            yield
        finally:
            self.pipeline.drain()
            await task
            self.pipeline.close()

    def counters(self) -> Mapping[str, float]:
        counts = self.pipeline.counts
        return {
            "requests": counts.requests,
            "points": counts.points,
            "commits": counts.commits,
            "requests_repeated": counts.repeated,
            "requests_failed": counts.failures,
            "requests_undecodable": counts.undecodable,
            "points_rounded": counts.rounded,
            "dead_letters": self.poison.letters,
            **{f"wal_{name}": value for name, value in asdict(self.log.state()).items()},
            **{f"written_{name}": value for name, value in asdict(self.writer.writes).items()},
            **self.forwarder.counters(),
            **{f"points_rejected.{reason}": n for reason, n in counts.rejected.items()},
        }


def make_ingest(
    settings: Settings, store: Store, observers: Sequence[Callable[[Committed], None]]
) -> Ingest:
    """
    Raises:
        ConfigError: the log's folder cannot be used.
    """
    limits, wal = settings.limits, settings.wal
    log, ledger = _opened(wal)
    poison = Poison(wal.path / "dead-letters", int(wal.dead_letters))
    forwarder = Forwarder(
        settings.forward,
        wal.path / "forward",
        reserve=least_free(wal.keep_free),
        send_every=wal.write_every,
        agent=f"novacron-collector/{version('novacron')}",
    )
    decoder = Decoder(limits.points, settings.retention.raw, limits.series)
    store.learned = decoder.learn
    pipeline = Pipeline(
        decoder,
        log,
        ledger,
        poison,
        limits.commit_every,
        observers,
        before=forwarder.offer_committed,
    )
    writer = WriterThread(log, ledger, store, lost=pipeline.describe_again)
    return Ingest(
        log=log,
        ledger=ledger,
        poison=poison,
        forwarder=forwarder,
        decoder=decoder,
        pipeline=pipeline,
        writer=writer,
    )


def _opened(wal: WalSettings) -> tuple[Log, Ledger]:
    limits = LogLimits(
        size=wal.size, keep_free=wal.keep_free, weight=wal.segment_points, age=wal.write_every
    )
    now = time.time()
    try:
        opened = Log(wal.path, limits)
        ledger = Ledger(wal.path / "ledger", wal.remember, wal.remember_requests, now)
        for segment in opened.waiting():
            ledger.add((key for meta in segment.metas() for key in keys_of(meta)), now)
    except ConfigError as err:
        raise ConfigError(f"wal: path: {err}") from err
    return opened, ledger
