"""All destinations of an agent: what is offered goes to each, and none waits for another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from novacron_agent.delivery.batch import Gap
from novacron_agent.delivery.counts import DESTINATION, REASON, DeliveryCounts
from novacron_agent.delivery.destination import Destination
from novacron_agent.delivery.intake import Intake
from novacron_agent.delivery.sender import Sender
from novacron_agent.delivery.spool import Limits, Spool
from novacron_agent.delivery.writer import Writer
from novacron_agent.otlp import Request
from novacron_agent.readings import Reading
from novacron_contract.errors import ConfigError
from novacron_contract.metrics import SENT_AT_HEADER
from novacron_otlp.client import Client
from novacron_otlp.connection import open_transport
from novacron_otlp.settings import Compression

log = logging.getLogger(__name__)

_SUFFIX = ".sqlite"


@dataclass(frozen=True, slots=True)
class _Way:
    """What belongs to one destination."""

    counts: DeliveryCounts
    intake: Intake
    spool: Spool
    writer: Writer
    sender: Sender

    def add_to(self, reading: Reading, name: str) -> None:
        state, where = self.spool.state, {DESTINATION: name}
        age = max(0.0, (time.time_ns() - state.oldest_ns) / 1e9) if state.batches else 0.0
        waiting = state.batches + len(self.intake)
        reading.add("novacron.agent.spool.batch.count", waiting, where)
        reading.add("novacron.agent.spool.size", state.size, where)
        reading.add("novacron.agent.spool.age", age, where)
        self.counts.add_to(reading)


class Delivery:
    """`encode_gaps` makes a request of what is known to be lost, by the name of a destination.

    Raises:
        ConfigError: a file that a destination names cannot be used.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        folder: Path,
        version: str,
        encode_gaps: Callable[[str, list[Gap]], Request],
        first_wait_s: float = 1.0,
    ) -> None:
        self._folder, self._destinations = folder, tuple(destinations)
        self._ways: dict[str, _Way] = {}
        for there in destinations:
            encode = partial(encode_gaps, there.name)
            self._ways[there.name] = _way(there, folder, version, encode, first_wait_s)

    def start(self) -> None:
        self._tell_of_strangers()
        for way in self._ways.values():
            way.writer.start()
            way.sender.start()

    def offer(self, request: Request) -> None:
        """Never waits, for a disk or for a destination."""
        for way in self._ways.values():
            way.intake.offer(request)

    def add_to(self, reading: Reading) -> None:
        """The figures of each destination."""
        for name, way in self._ways.items():
            way.add_to(reading, name)

    def said(self) -> dict[str, dict[str, str]]:
        """In words, by destination: where it is, and what is wrong with it."""
        return {
            there.name: {
                "endpoint": there.endpoint,
                "trouble": "; ".join(filter(None, (way.writer.trouble, way.sender.trouble))),
                "last_refusal": way.sender.last_refusal,
            }
            for there, way in zip(self._destinations, self._ways.values(), strict=True)
        }

    def close(self, grace_s: float) -> None:
        """Bring all to disk, for so long; what waits is sent after the next start."""
        deadline = time.monotonic() + grace_s
        for way in self._ways.values():
            way.writer.close(max(0.0, deadline - time.monotonic()))
            if len(way.intake):
                log.warning("%s: %d requests are lost with memory", way.spool.path, len(way.intake))
        for way in self._ways.values():
            way.sender.close(max(0.0, deadline - time.monotonic()))
            way.spool.close()

    def _tell_of_strangers(self) -> None:
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            if path.name.removesuffix(_SUFFIX) not in self._ways:
                log.warning(
                    "%s: of a destination that is not in the settings; it is kept: "
                    "put the destination back, or delete the file",
                    path,
                )


def gap_readings(
    resource: dict[str, str | float], destination: str, gaps: Sequence[Gap]
) -> list[Reading]:
    """Each gap as two values at its end: how long it is, and of how many points."""
    readings = []
    for gap in gaps:
        reading = Reading(resource, gap.last_ns)
        attributes = {DESTINATION: destination, REASON: str(gap.reason)}
        length = (gap.last_ns - gap.first_ns) / 1e9
        reading.add("novacron.agent.gap.duration", length, attributes)
        reading.add("novacron.agent.gap.points", gap.points, attributes)
        readings.append(reading)
    return readings


def _way(
    there: Destination,
    folder: Path,
    version: str,
    encode_gaps: Callable[[list[Gap]], Request],
    first_wait_s: float,
) -> _Way:
    check_files(there, version)
    counts, news = DeliveryCounts(there.name), threading.Event()
    intake = Intake(counts)
    limits = Limits(there.spool_size, there.spool_age)
    spool = Spool(folder / f"{there.name}{_SUFFIX}", limits, counts)
    sender = Sender(
        there.name,
        partial(open_transport, there, client(version)),
        spool,
        intake,
        counts,
        news,
        encode_gaps,
        first_wait_s,
        there.certificates,
    )
    return _Way(counts, intake, spool, Writer(there.name, spool, intake, counts, news), sender)


def check_files(there: Destination, version: str) -> None:
    """
    Raises:
        ConfigError: a file that the destination names cannot be used.
    """
    try:
        open_transport(there, client(version)).close()
    except ConfigError as err:
        raise ConfigError(f"destination {there.name}: {err}") from err


def client(version: str) -> Client:
    return Client(
        user_agent=f"novacron-agent/{version}",
        held=Compression.GZIP,
        clock_header=SENT_AT_HEADER,
        environment=True,
    )
