"""The collector's parts, and what each of them counts, as readings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from novacron_collector.admission import Room
from novacron_collector.inventory import InventoryKeeper
from novacron_collector.live.hub import Hub
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import Reason
from novacron_collector.own_metrics.encoding import Reading
from novacron_collector.own_metrics.histogram import Counted
from novacron_collector.own_metrics.process import Uptime, process_figures
from novacron_collector.own_metrics.store_figures import StoreFigures
from novacron_collector.pipeline import Counts
from novacron_collector.prometheus.refusals import Refusal as SampleRefusal
from novacron_collector.receivers.refusals import Refusal, Refusals
from novacron_collector.wal.ledger import Ledger
from novacron_collector.wal.log import Log
from novacron_collector.writing import WriterThread
from novacron_contract.collector_metrics import COLLECTOR_BY_NAME, OUTCOME, REASON, TABLE

_OWN = "novacron.collector."
_REJECTIONS = [reason.name.lower() for reasons in (Reason, SampleRefusal) for reason in reasons]


@dataclass(frozen=True, slots=True)
class Worst:
    """The longest of what was looked at since the last report, in seconds."""

    loop_delay: float = 0.0
    lag: float = 0.0


@dataclass(frozen=True)
class Parts:
    counts: Counts
    refusals: Refusals
    room: Room
    decoder: Decoder
    hub: Hub
    inventory: InventoryKeeper
    log: Log
    ledger: Ledger
    writer: WriterThread
    store: StoreFigures
    uptime: Uptime

    def readings(self, worst: Worst) -> Iterator[Reading]:
        """One per series; what is not known now is left out."""
        yield from self._intake()
        yield _of("loop.delay", worst.loop_delay)
        yield from self._log(worst.lag)
        yield from self._writes()
        yield from self._store()
        yield from self._process()

    def _intake(self) -> Iterator[Reading]:
        counts, refused = self.counts, dict(self.refusals.counts)
        outcomes = {
            "accepted": counts.requests - counts.undecodable,
            "repeated": counts.repeated,
            "undecodable": refused.pop(Refusal.UNDECODABLE, 0),
            "refused": sum(refused.values()),
        }
        for outcome, count in outcomes.items():
            yield _of("request.count", count, **{OUTCOME: outcome})
        # From 0 on, so that the first one shows as an increase.
        for refusal in Refusal:
            if refusal is not Refusal.UNDECODABLE:
                yield _of("request.refused", refused.get(refusal, 0), **{REASON: refusal})
        yield _of("point.count", counts.points)
        for name in _REJECTIONS:
            yield _of("point.rejected", counts.rejected[name], **{REASON: name})
        yield _of("inventory.disputed", self.inventory.disputed)
        yield _of("request.active", self.room.requests)
        yield _of("series", self.decoder.series)
        yield _of("live.clients", self.hub.clients)

    def _log(self, lag: float) -> Iterator[Reading]:
        state = self.log.state()
        yield _of("log.size", state.bytes)
        yield _of("log.limit", self.log.limit)
        yield _of("log.segments", state.segments)
        yield _of("log.lag", max(lag, state.oldest_s))
        yield _of("log.set_aside", state.set_aside)
        yield _of("log.append.duration", self.log.appends.counted())
        yield _of("ledger.entries", len(self.ledger))

    def _writes(self) -> Iterator[Reading]:
        yield _of("write.duration", self.writer.durations.counted())
        yield _of("write.rows", self.writer.sizes.counted())
        yield _of("write.failures", self.writer.writes.failures)

    def _store(self) -> Iterator[Reading]:
        known = self.store.newest()
        if known is None:
            return
        for table in known.tables:
            where = {TABLE: table.name}
            yield _of("store.parts", table.parts, **where)
            yield _of("store.rows", table.rows, **where)
            yield _of("store.size", table.bytes, **where)
        yield _of("store.merges", known.merges)
        yield _of("store.free", known.disk_free)
        if known.rollup_lag_s is not None:
            yield _of("rollup.lag", known.rollup_lag_s)

    def _process(self) -> Iterator[Reading]:
        figures = process_figures()
        cpu = {"user": figures.user_s, "system": figures.system_s}
        for mode, seconds in cpu.items():
            yield _named("process.cpu.time", seconds, **{"cpu.mode": mode})
        yield _named("process.memory.usage", figures.memory)
        yield _named("process.unix.file_descriptor.count", figures.files)
        yield _named("process.thread.count", figures.threads)
        yield _named("process.uptime", self.uptime.seconds)


def _of(name: str, value: float | Counted, **attributes: str) -> Reading:
    return _named(f"{_OWN}{name}", value, **attributes)


def _named(name: str, value: float | Counted, **attributes: str) -> Reading:
    return Reading(COLLECTOR_BY_NAME[name], value, attributes)
