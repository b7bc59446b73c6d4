"""The exporter: a thread that delivers what waits, oldest first, until it is taken."""

from __future__ import annotations

import logging
import random
import threading
import time

import httpx

from novacron_agent.backlog import Backlog
from novacron_agent.counts import Counts, Lost
from novacron_agent.otlp import Request
from novacron_agent.post import Delivered, Later, Refused, post

log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 30.0


class Exporter:
    """`first_wait_s`: the pause after the first failure; each one after it is twice as long."""

    def __init__(
        self, http: httpx.Client, backlog: Backlog, counts: Counts, first_wait_s: float = 1.0
    ) -> None:
        self._http, self._backlog, self._counts = http, backlog, counts
        self._first_wait_s = first_wait_s
        self._closing = threading.Event()
        self._failing_since: float | None = None
        self._delivered = False
        self._complaints: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="export", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, request: Request) -> None:
        """Queue it; never blocks."""
        for dropped in self._backlog.put(request):
            self._lose(Lost.QUEUE_FULL, dropped.points, "the queue is full, the oldest goes")

    def close(self, grace_s: float) -> None:
        """Send what waits, for so long; one failure ends it."""
        self._closing.set()
        self._backlog.close()
        self._thread.join(grace_s)
        points = sum(request.points for request in self._backlog.clear())
        if points:
            self._lose(Lost.SHUTDOWN, points, "the agent ends")

    def _work(self) -> None:
        while (request := self._backlog.get()) is not None:
            self._deliver(request)

    def _deliver(self, request: Request) -> None:
        """Returns when it was taken, refused for good, or the agent ends."""
        wait = self._first_wait_s
        while True:
            match post(self._http, request):
                case Delivered(rejected, reason):
                    return self._taken(request, rejected, reason)
                case Refused(reason):
                    return self._lose(Lost.REFUSED, request.points, reason)
                case Later(reason, after_s):
                    self._note_failure(reason)
            if self._closing.is_set():
                return self._lose(Lost.SHUTDOWN, request.points, "the agent ends")
            # Jitter: agents that lost their collector together must not come back together
            pause = wait * random.uniform(0.5, 1.0)
            self._closing.wait(max(pause, after_s or 0.0))
            wait = min(wait * 2, _LONGEST_WAIT_S)

    def _taken(self, request: Request, rejected: int, reason: str) -> None:
        self._counts.exported(request.points - rejected)
        if rejected:
            self._lose(Lost.REFUSED, rejected, reason or "no reason given")
        if self._failing_since is not None:
            gone = time.monotonic() - self._failing_since
            log.info("the collector answers again after %.0f s, %d wait", gone, len(self._backlog))
            self._failing_since = None
        elif not self._delivered:
            log.info("first export: %s took %d points", self._http.base_url, request.points)
        self._delivered = True

    def _note_failure(self, reason: str) -> None:
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            log.warning("%s: %s; trying again", self._http.base_url, reason)

    def _lose(self, why: Lost, points: int, reason: str) -> None:
        """Counted always; said once for each reason."""
        self._counts.lost(why, points)
        if reason not in self._complaints and len(self._complaints) < 100:
            self._complaints.add(reason)
            log.warning("%d points given up: %s (said once; they are counted)", points, reason)
