"""The connection to the telemetry store: opened, brought to our schema, and opened again."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client

from novacron_contract.errors import NovaCronError, Refused, Unavailable
from novacron_store.telemetry.batch import Batch
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.retention import Retention, current
from novacron_store.telemetry.writer import write

log = logging.getLogger(__name__)

_NO_ANSWER = "the telemetry store does not answer"
_DISK_FULL = re.compile(r"code: 243|NOT_ENOUGH_SPACE|No space left on device", re.IGNORECASE)


@dataclass
class Store:
    """Serves one thread. `problem` says why nothing can be written now; empty: it can. `retention`
    is what the settings say; `learned` is told the one that holds, whenever it is looked up."""

    connect: Callable[[], Client]
    retention: Retention
    learned: Callable[[Retention], None] = lambda _: None
    problem: str = field(default="the telemetry store is not opened yet", init=False)
    was_open: bool = field(default=False, init=False)  # its schema has been ours since the start
    _client: Client | None = field(default=None, init=False)

    def open(self) -> None:
        """Connect and migrate, unless that is done and nothing has failed since.

        Raises:
            NovaCronError: that is not possible now; `problem` says why.
        """
        if self._client is not None and not self.problem:
            return
        try:
            self.close()
            self._client = self.connect()
            migrate(self._client, self.retention)
            self.learned(current(self._client))
        except NovaCronError as err:
            self._failed(err)
            raise
        log.info("the telemetry store is ready")
        self.problem, self.was_open = "", True

    def write(self, batch: Batch, token: str) -> None:
        """
        Raises:
            Unavailable: the batch, or a part of it, is not stored.
        """
        if not batch.tables:
            return
        try:
            self.open()
            assert self._client is not None
            write(self._client, batch, token)
        except NovaCronError as err:
            self._failed(err)
            raise Unavailable(self.problem) from err

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _failed(self, err: NovaCronError) -> None:
        problem = explained(err)
        if problem != self.problem:
            log.error("%s", problem)
        self.problem = problem


def explained(err: NovaCronError) -> str:
    """One sentence with what to do, where that is known: each problem alike whenever it occurs."""
    text = str(err)
    if isinstance(err, Refused):
        return f"{text}; check user and password_file under [telemetry]"
    if _NO_ANSWER in text:
        return f"{_NO_ANSWER}: start novacron-store, or correct url under [telemetry]"
    if _DISK_FULL.search(text):
        return "the telemetry store's disk is full: free some space, or keep data shorter"
    return text
