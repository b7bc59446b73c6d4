"""Every some seconds: what the collector counts, into its own log as any sender's request."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from novacron_collector.own_metrics.encoding import encode
from novacron_collector.own_metrics.readings import Parts, Worst
from novacron_collector.pipeline import Pipeline, Request
from novacron_contract.errors import NovaCronError

log = logging.getLogger(__name__)

_LOOK_S = 0.5  # how often what has a worst case is looked at
_WAIT_S = 10.0  # for the log to take a report


@dataclass
class Reporter:
    """A thread of its own: neither a slow disk nor a busy event loop is made worse by it. A log
    that takes nothing now misses a report; counters catch up with the next."""

    pipeline: Pipeline
    parts: Parts
    resource: Mapping[str, str]
    every_s: float
    _delays: _Delays = field(default_factory=lambda: _Delays(), init=False)
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """`loop` is the one that the pipeline serves."""
        self._loop = loop
        self._thread = threading.Thread(target=self._run, name="own-metrics", daemon=True)
        self.parts.store.start()
        self._thread.start()

    def stop(self) -> None:
        """After a last report, so that the counters' ends are known."""
        self.parts.store.stop()
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            lag = 0.0
            due = time.monotonic() + self.every_s
            while not stopping and time.monotonic() < due:
                self._delays.look(self._loop)
                lag = max(lag, self.parts.log.state().oldest_s)
                stopping = self._stopping.wait(min(_LOOK_S, self.every_s))
            self._report(Worst(self._delays.take(), lag))

    def _report(self, worst: Worst) -> None:
        try:
            readings = self.parts.readings(worst)
            start, now = self.parts.uptime.started_ns, time.time_ns()
            body = encode(readings, self.resource, start, now)
            self._send(Request(body, own=True))
        except NovaCronError:  # the log is full or the collector stops: the status says it
            pass
        except Exception:  # the outermost loop of this thread
            log.exception("the collector cannot report of itself, trying again")

    def _send(self, request: Request) -> None:
        sent = asyncio.run_coroutine_threadsafe(self.pipeline.store(request), self._loop)
        with suppress(TimeoutError):
            sent.result(_WAIT_S)
        sent.cancel()


class _Delays:
    """How long the event loop lets a callback wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worst = 0.0
        self._asked: float | None = None

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if self._asked is None:
                self._asked = time.monotonic()
                loop.call_soon_threadsafe(self._called)

    def take(self) -> float:
        """The longest since the last call; one that still waits counts as long as it has."""
        with self._lock:
            waits = 0.0 if self._asked is None else time.monotonic() - self._asked
            worst, self._worst = max(self._worst, waits), 0.0
            return worst

    def _called(self) -> None:
        with self._lock:
            assert self._asked is not None
            self._worst = max(self._worst, time.monotonic() - self._asked)
            self._asked = None
