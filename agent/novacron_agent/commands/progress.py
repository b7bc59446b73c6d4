"""What a command that runs tells of itself: journalled, not more often than people can read."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from novacron_agent.commands.journal import Journal
from novacron_contract.errors import Unavailable

log = logging.getLogger(__name__)

_EVERY_S = 1.0


class JournalledProgress:
    """Once it is closed nothing is told: an effect that was given up may still go on."""

    def __init__(
        self, journal: Journal, command_id: str, news: Callable[[], None], evidence: str
    ) -> None:
        self._journal, self._id, self._news = journal, command_id, news
        self._lock = threading.Lock()
        self._told_at = float("-inf")
        self._closed = False
        self.evidence = evidence

    def tell(self, text: str, share: float | None = None) -> None:
        with self._lock:
            now = time.monotonic()
            if self._closed or now - self._told_at < _EVERY_S:
                return
            self._told_at = now
            try:
                self._journal.progress(self._id, text, share)
            except Unavailable as err:  # the next one may be, and the end has to be
                log.warning("%s", err)
                return
        self._news()

    def witness(self, text: str) -> None:
        with self._lock:
            if self._closed:
                return
            self.evidence = text
            try:
                self._journal.witness(self._id, text)
            except Unavailable as err:
                log.warning("%s", err)

    def close(self) -> None:
        with self._lock:
            self._closed = True
