"""How long who failed waits before the next attempt."""

from __future__ import annotations

import random


class Backoff:
    """Twice as long after each failure, with jitter: agents that lost their collector together
    must not come back together."""

    def __init__(self, first_s: float = 0.5, longest_s: float = 30.0) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._next_s = first_s

    def succeeded(self) -> None:
        self._next_s = self._first_s

    def failed(self, asked_s: float = 0.0) -> float:
        """Seconds to wait; `asked_s`: Retry-After."""
        wait, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        return max(wait * random.uniform(0.5, 1.0), asked_s * random.uniform(1.0, 1.1))
