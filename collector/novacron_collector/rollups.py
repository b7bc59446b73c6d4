"""Keeps the rollups up, in a thread and with a client of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client

from novacron_contract.errors import NovaCronError
from novacron_store.telemetry.retention import Retention
from novacron_store.telemetry.rollups import Roller

log = logging.getLogger(__name__)


@dataclass
class RollupThread:
    """`ready` says whether the schema is there; until then nothing is tried. `learned` is told the
    retention that holds, which somebody may change at any time."""

    connect: Callable[[], Client]
    ready: Callable[[], bool]
    learned: Callable[[Retention], None]
    every_s: float = 20.0
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="rollups", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        roller: Roller | None = None
        reported = ""
        while not self._stopping.wait(self.every_s):
            if not self.ready():
                continue
            try:
                roller = roller or Roller(self.connect())
                roller.run(stopping=self._stopping.is_set)
                self.learned(roller.rules)
            except NovaCronError as err:
                if str(err) != reported:
                    log.error("rollups are late, trying again: %s", err)
                reported, roller = str(err), None
            except Exception:  # the outermost loop of this thread
                log.exception("rollups failed, trying again")
                roller = None
            else:
                reported = ""
