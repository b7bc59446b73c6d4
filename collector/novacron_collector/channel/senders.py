"""A copy in memory of ingest tokens, and when each was used last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from novacron_store.state.credentials import digest, has_form
from novacron_store.state.ingest_tokens import PREFIX, IngestToken, IngestTokens


@dataclass
class KnownSenders:
    """Any thread."""

    tokens: IngestTokens
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _known: dict[str, IngestToken] = field(default_factory=dict)
    _used: dict[str, datetime] = field(default_factory=dict)
    _number: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def holds(self, secret: str) -> bool:
        """What is looked up is a hash: whoever measures how long it takes learns nothing."""
        if not has_form(secret, PREFIX):
            return False
        token = self._known.get(digest(secret))
        now = self.now()
        if token is None or not token.holds(now):
            return False
        self._used[token.id] = now
        return True

    def learn(self) -> None:
        with self._lock:
            self._number, changed = self.tokens.since(self._number)
            self._known.update(changed)

    def write_use(self) -> None:
        used, self._used = self._used, {}
        if used:
            self.tokens.used(used)
