"""All destinations together: what is logged is offered to each queue first."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from novacron_collector.forward.filter import Filter
from novacron_collector.forward.parcel import Item, pack
from novacron_collector.forward.queue import Queue, QueueLimits
from novacron_collector.forward.sender import Sender
from novacron_collector.forward.settings import ForwardSettings
from novacron_collector.forward.state import ForwardingState
from novacron_collector.pipeline import Committed
from novacron_collector.wal.log import Log, LogLimits
from novacron_contract.errors import ConfigError
from novacron_otlp.client import Client
from novacron_otlp.connection import open_transport

log = logging.getLogger(__name__)

_SEGMENT_BYTES = 16 * 2**20
_LEAST_RESERVE = 64 * 2**20


class Forwarder:
    """`folder` holds a queue per destination. `reserve`: bytes of the disk that queues leave alone.
    `send_every`: seconds that requests gather before they are sent.

    Raises:
        ConfigError: a destination cannot be used as it is set.
    """

    def __init__(
        self,
        destinations: Sequence[ForwardSettings],
        folder: Path,
        reserve: float,
        send_every: float,
        agent: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._abandoned = _abandoned(folder, {one.name for one in destinations})
        self._senders = [_sender(one, folder, reserve, send_every, agent) for one in destinations]
        self._appending = ThreadPoolExecutor(max(1, len(destinations)), "forward-queue")
        for name in self._abandoned:
            log.warning("forwarding: %s is kept, but no destination has that name", folder / name)

    def offer(self, items: Sequence[Item]) -> None:
        """In each queue, on disk, when this returns; or counted as lost there. Never fails."""
        if not (self._senders and items):
            return
        try:
            parcel = pack(items, self._now())
            queues = [sender.queue for sender in self._senders]
            others = [self._appending.submit(queue.offer, parcel) for queue in queues[1:]]
            queues[0].offer(parcel)
            for other in others:
                other.result()
        except Exception:  # whatever is wrong here, no sender is to suffer for it
            log.exception("%d requests are not forwarded", len(items))

    def offer_committed(self, committed: Committed) -> None:
        """The requests of which something is stored, as they came."""
        self.offer(
            [
                Item(request.body, outcome.points + outcome.rejected.total())
                for request, outcome in zip(
                    committed.requests, committed.decoded.outcomes, strict=True
                )
                if outcome.points
            ]
        )

    def start(self) -> None:
        for sender in self._senders:
            sender.start()

    def stop(self, drain_s: float) -> None:
        deadline = time.monotonic() + drain_s
        for sender in self._senders:
            sender.stop(deadline)
        for sender in self._senders:
            sender.join()
            sender.queue.close()
        self._appending.shutdown()

    def counters(self) -> dict[str, float]:
        every: dict[str, float] = {"forward_abandoned": len(self._abandoned)}
        for sender in self._senders:
            of_one = sender.counters().items()
            every |= {f"forward_{sender.name}_{name}": value for name, value in of_one}
        return every

    def state(self) -> ForwardingState:
        return ForwardingState(tuple(one.state() for one in self._senders), self._abandoned)


def least_free(keep_free: float) -> float:
    """Bytes of the disk at which queues give way: before the log, which stops at `keep_free`."""
    return keep_free + max(keep_free, _LEAST_RESERVE)


def _abandoned(folder: Path, names: set[str]) -> tuple[str, ...]:
    """Queues that hold something and whose destination is gone from the settings."""
    if not folder.is_dir():
        return ()
    names_left = sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in names and path.is_dir() and any(path.glob("*.seg"))
    )
    return tuple(names_left)


def _sender(
    one: ForwardSettings, folder: Path, reserve: float, send_every: float, agent: str
) -> Sender:
    open_anew = partial(open_transport, one, Client(user_agent=agent))
    try:
        open_anew().close()  # a wrong file is told at the start
        weight = int(min(_SEGMENT_BYTES, one.queue_size / 16))
        # The queue's own bounds come first: the log never refuses.
        size = 2 * one.queue_size + _SEGMENT_BYTES
        limits = LogLimits(size=size, keep_free=0, weight=weight, age=send_every)
        wal = Log(folder / one.name, limits)
    except ConfigError as err:
        raise ConfigError(f"forward: {one.name}: {err}") from err
    bounds = QueueLimits(size=one.queue_size, age=one.queue_age, reserve=reserve)
    keep = Filter(one.metrics, one.exclude_metrics, one.where)
    queue = Queue(one.name, wal, bounds)
    return Sender(one.name, queue, keep, open_anew, files=one.certificates)
