"""The writer: a thread that brings what was measured into the spool, all of a tick by one fsync."""

from __future__ import annotations

import logging
import threading

from novacron_agent.delivery.counts import DeliveryCounts
from novacron_agent.delivery.intake import Intake
from novacron_agent.delivery.spool import Spool
from novacron_contract.errors import Unavailable

log = logging.getLogger(__name__)

_SOON_S = 0.1
_AGAIN_S = 2.0


class Writer:
    """`news` is set when there is something to send."""

    def __init__(
        self, name: str, spool: Spool, intake: Intake, counts: DeliveryCounts, news: threading.Event
    ) -> None:
        self._spool, self._intake, self._counts, self._news = spool, intake, counts, news
        self._closing = threading.Event()
        self.trouble = ""  # why nothing is written now
        self._thread = threading.Thread(target=self._run, name=f"spool {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, grace_s: float) -> None:
        """Write what waits, for so long."""
        self._closing.set()
        self._intake.close()
        self._thread.join(grace_s)

    def _run(self) -> None:
        while (found := self._intake.begin()) is not None:
            requests, lost = found
            try:
                self._spool.put(requests, lost)
            except Unavailable as err:
                self._failed(str(err))
            except Exception as err:  # the outermost edge of this thread: it goes on
                log.exception("the spool cannot be written")
                self._failed(f"{err!r}")
            else:
                self._intake.written(lost)
                self._went_well()
            self._news.set()
            if self.trouble and self._closing.is_set():
                return

    def _failed(self, why: str) -> None:
        self._intake.not_written()
        self._counts.not_written()
        first = not self.trouble
        if first:
            log.warning("%s; what cannot be written waits in memory", why)
        self.trouble = why
        self._closing.wait(_SOON_S if first else _AGAIN_S)

    def _went_well(self) -> None:
        if self.trouble:
            log.info("%s: is written again", self._spool.path)
        self.trouble = ""
