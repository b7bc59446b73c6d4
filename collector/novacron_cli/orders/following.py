"""An operation followed to its end: the collector is asked, and answers when something changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from novacron_cli.collector import Collector, Failed, NotNow, in_path
from novacron_cli.orders.plan import OPERATIONS
from novacron_cli.orders.words import counts
from novacron_contract.commands import State
from novacron_contract.errors import Unavailable

WAIT_S = 25
PATIENCE_S = 600.0  # with a collector that is away
_PAUSE_S = 0.5
_MAX_PAUSE_S = 5.0
_AT_LEAST_S = 1.0  # between two answers that tell nothing new

Operation = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


class View(Protocol):
    def wanted(self, operation: Operation) -> Mapping[str, str | int] | None:
        """Which of its commands to show beside it; None: none."""

    def show(self, operation: Operation, commands: Rows) -> None: ...

    def away(self, problem: str) -> None:
        """The collector does not answer; it is asked again."""

    def back(self) -> None: ...

    def held(self, why: str) -> None:
        """Why nothing of it is begun; empty: it is, or nobody knows."""


@dataclass(frozen=True)
class Follower:
    collector: Collector
    view: View
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def to_the_end(self, operation: Operation) -> Operation:
        """
        Raises:
            Unavailable: the collector was away for too long.
            Failed: it does not know the operation any more, or tells it to others alone.
        """
        with self.collector.lasting() as collector:
            while operation["finished"] is None:
                self._show(collector, operation)
                operation = self._next(collector, operation)
            self._show(collector, operation)
        return operation

    def _next(self, collector: Collector, known: Operation) -> Operation:
        path = f"{OPERATIONS}/{in_path(known['id'])}"
        held = {"after": known["version"], "wait": WAIT_S}
        away_since, pause = None, _PAUSE_S
        while True:
            before = self.clock()
            # One that was away is not to hold the question: that it is back is told at once.
            asked = held if away_since is None else None
            try:
                found: Operation = collector.get(path, asked)
            except (Unavailable, NotNow) as err:
                if away_since is None:
                    away_since = before
                    self.view.away(str(err))
                if before - away_since > PATIENCE_S:
                    raise
                self.sleep(pause)
                pause = min(2 * pause, _MAX_PAUSE_S)
                continue
            if away_since is not None:
                self.view.back()
            if found["version"] == known["version"]:
                # One that answers at once though nothing changed is not asked all the time.
                self.sleep(max(_AT_LEAST_S - (self.clock() - before), 0))
            return found

    def _show(self, collector: Collector, operation: Operation) -> None:
        wanted, rows = self.view.wanted(operation), []
        if wanted is not None:
            try:
                query = {"operation": operation["id"], **wanted}
                rows = collector.get("/v1/commands", query)["commands"]
            except (Unavailable, Failed):  # they are in addition: the next answer may have them
                rows = []
        self.view.show(operation, rows)
        self.view.held(self._brake(collector, operation))

    def _brake(self, collector: Collector, operation: Operation) -> str:
        """Asked for while nothing at all is under way."""
        waits = {state for state, _ in counts(operation) if not state.is_final}
        if waits != {State.QUEUED}:
            return ""
        try:
            brake = collector.get("/v1/brake")
        except (Unavailable, Failed):
            return ""
        why = f": {brake['reason']}" if brake["reason"] else ""
        return f"the brake is on, by {brake['by']}{why}" if brake["held"] else ""
