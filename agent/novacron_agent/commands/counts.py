"""Commands as metrics of the agent; counters start at 0 with the process."""

from __future__ import annotations

import threading
from collections import Counter

from novacron_agent.readings import Reading
from novacron_contract.commands import State

STATE, VERB, REQUEST = "novacron.command.state", "novacron.command.verb", "novacron.request"


class CommandCounts:
    """Counted by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: Counter[tuple[str, State]] = Counter()
        self._failures: Counter[str] = Counter()

    def ended(self, verb: str, state: State) -> None:
        with self._lock:
            self._ended[verb, state] += 1

    def failed(self, request: str) -> None:
        with self._lock:
            self._failures[request] += 1

    def total(self) -> dict[State, int]:
        found: Counter[State] = Counter()
        with self._lock:
            for (_verb, state), number in self._ended.items():
                found[state] += number
        return dict(found)

    def add_to(self, reading: Reading) -> None:
        with self._lock:
            for (verb, state), number in self._ended.items():
                attributes = {VERB: verb, STATE: state.value}
                reading.add("novacron.agent.command.ended", number, attributes)
            for request, number in self._failures.items():
                reading.add("novacron.agent.channel.errors", number, {REQUEST: request})
