"""The status of an agent, as it stands in its file."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from novacron_agent.delivery.counts import DESTINATION
from novacron_agent.own_process import OwnProcess
from novacron_agent.readings import Reading
from novacron_otlp.answer import one_line

_SOURCE = "novacron.source"
# The agent's own metrics, and what they are called here. Those of several reasons are summed.
_OF_SOURCE = {"scrape.duration": "seconds", "scrape.errors": "errors", "scrape.stuck": "stuck"}
_OF_DESTINATION = {
    "spool.batch.count": "batches",
    "spool.size": "bytes",
    "spool.age": "age",
    "spool.dropped": "lost",
    "export.points": "delivered",
    "export.dropped": "refused",
    "export.errors": "errors",
}


@dataclass(frozen=True, kw_only=True)
class SourceStatus:
    """A source, or a group of its metrics: `stuck` is the number of guests that do not answer."""

    name: str
    seconds: float | None = None
    errors: int = 0
    stuck: int = 0
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class DestinationStatus:
    """Batches, bytes and age of what waits; points delivered, refused there, and lost here."""

    name: str
    endpoint: str = ""
    batches: int = 0
    bytes: int = 0
    age: float = 0.0
    delivered: int = 0
    refused: int = 0
    lost: int = 0
    errors: int = 0
    trouble: str = ""
    last_refusal: str = ""


@dataclass(frozen=True, kw_only=True)
class CommandsStatus:
    """Commands that wait and run, those that `ended` since the start by how, and reports that the
    collector has not taken yet."""

    waiting: int = 0
    running: int = 0
    ended: Mapping[str, int] = field(default_factory=dict)
    reports: int = 0
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Status:
    """Times are Unix seconds; counters count since `counting_since`."""

    version: str
    agent_id: str
    pid: int
    started: float
    counting_since: float
    tick: float
    interval: float
    memory: int
    cpu_share: float | None = None
    sources: tuple[SourceStatus, ...] = field(default=())
    destinations: tuple[DestinationStatus, ...] = field(default=())
    commands: CommandsStatus | None = None

    def trouble(self, now: float) -> str:
        """Why this is not what an agent that runs says; empty where it is."""
        late = now - self.tick
        if not _is_there(self.pid):
            return f"the agent does not run: its process {self.pid} is gone"
        if late > 2 * self.interval + 10:
            return f"the agent does not run, or hangs: its last tick was {late:.0f} s ago"
        return ""


Said = Mapping[str, Mapping[str, str]]  # by name of a source or a destination: texts by field


def status(
    itself: Reading, process: OwnProcess, sources: Said, destinations: Said, interval: float
) -> Status:
    """From the agent's own metrics, and what can be said in words alone."""
    found = _by_name(itself, _SOURCE, _OF_SOURCE, sources)
    there = _by_name(itself, DESTINATION, _OF_DESTINATION, destinations)
    return Status(
        version=str(itself.resource["service.version"]),
        agent_id=str(itself.resource["service.instance.id"]),
        pid=os.getpid(),
        started=process.started,
        counting_since=itself.start_ns / 1e9,
        tick=time.time(),
        interval=interval,
        memory=process.memory,
        cpu_share=process.share,
        sources=tuple(SourceStatus(**one) for one in found),
        destinations=tuple(DestinationStatus(**one) for one in there),
    )


def _by_name(
    itself: Reading, attribute: str, fields: Mapping[str, str], said: Said
) -> list[dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    for sample in itself.samples:
        name = sample.attributes.get(attribute)
        called = fields.get(sample.metric.name.removeprefix("novacron.agent."))
        if isinstance(name, str) and called is not None:
            one = known.setdefault(name, {"name": name})
            one[called] = one.get(called, 0) + sample.value
    for name, texts in said.items():
        words = {called: one_line(text) for called, text in texts.items()}
        known.setdefault(name, {"name": name}).update(words)
    return [known[name] for name in sorted(known)]


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # of another user
    return True
