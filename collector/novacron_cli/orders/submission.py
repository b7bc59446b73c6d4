"""An operation sent to the collector, and taken by it once, however often an answer is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from novacron_cli.collector import Collector, NotNow, OutcomeUnknown
from novacron_cli.orders.plan import OPERATIONS
from novacron_contract.errors import Unavailable

PATIENCE_S = 60.0
_PAUSE_S = 0.5
_MAX_PAUSE_S = 5.0


def new_key() -> str:
    return f"cli-{uuid4()}"


def how_to_go_on(key: str) -> str:
    return (
        "look with `novacron operation list`, or give the same command again with "
        f"--key {key}: then it is done once"
    )


@dataclass(frozen=True)
class Submission:
    """`say` is given what a person should know meanwhile."""

    collector: Collector
    key: str
    say: Callable[[str], None]
    path: str = OPERATIONS
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def send(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The operation; asked for again, with the same key, where no answer came.

        Raises:
            Failed: the collector does not take it.
            Unavailable: it was not told.
            OutcomeUnknown: it may have been told.
        """
        lost: OutcomeUnknown | None = None
        until, pause = 0.0, _PAUSE_S
        while True:
            try:
                return self._once(body)
            except OutcomeUnknown as err:
                if lost is None:
                    until = self.clock() + PATIENCE_S
                    self.say("the answer was lost: asking again, it is done once all the same")
                lost = err
            except (Unavailable, NotNow):
                if lost is None:
                    raise
            if self.clock() >= until:
                raise OutcomeUnknown(f"{lost}; {how_to_go_on(self.key)}") from lost
            self.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE_S)

    def _once(self, body: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = self.collector.change("POST", self.path, body, key=self.key)
        return made
