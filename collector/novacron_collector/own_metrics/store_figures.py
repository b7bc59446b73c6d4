"""What the store says of itself, asked now and then by a thread of its own: a store that hangs
hangs nobody else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client

from novacron_contract.errors import NovaCronError
from novacron_store.telemetry.health import Health, health

log = logging.getLogger(__name__)


@dataclass
class StoreFigures:
    """`ready` says whether the schema is there; until then nothing is asked."""

    connect: Callable[[], Client]
    ready: Callable[[], bool]
    every_s: float
    _known: tuple[float, Health] | None = field(default=None, init=False)
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)

    def start(self) -> None:
        # A daemon: the process ends without waiting for a store that does not answer.
        threading.Thread(target=self._run, name="store-figures", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def newest(self) -> Health | None:
        """None while nothing new is known: an old figure is no figure."""
        known = self._known
        if known is None or time.monotonic() - known[0] > 3 * self.every_s:
            return None
        return known[1]

    def _run(self) -> None:
        client: Client | None = None
        while not self._stopping.is_set():
            try:
                if self.ready():
                    client = client or self.connect()
                    self._known = (time.monotonic(), health(client))
            except NovaCronError:  # the writer says it, and the status
                client = None
            except Exception:  # the outermost loop of this thread
                log.exception("the store's figures cannot be read, trying again")
                client = None
            self._stopping.wait(self.every_s)
