"""Sessions: a client's own handle, with its temporary tables and settings, until it expires."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from novacron_store.server.engine import Handle
from novacron_store.server.failures import (
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    EngineError,
)

MAX_LIFETIME_S = 3600.0
DEFAULT_LIFETIME_S = 60.0


@dataclass(slots=True)
class _Session:
    handle: Handle
    lifetime: float = DEFAULT_LIFETIME_S
    expires: float = 0.0
    busy: bool = True


@dataclass(slots=True)
class Sessions:
    """At most `limit` of them; idle ones expire, and the oldest idle one makes room.

    Used from the event loop alone, so it needs no lock.
    """

    open_handle: Callable[[], Handle]
    limit: int = 512
    clock: Callable[[], float] = time.monotonic
    _sessions: dict[str, _Session] = field(default_factory=dict)

    def take(self, name: str, lifetime: float, *, must_exist: bool = False) -> Handle:
        """The session's handle, for this request alone until `give_back`."""
        self._expire()
        session = self._sessions.get(name)
        if session is None:
            if must_exist:
                raise EngineError.of(SESSION_NOT_FOUND, f"Session {name!r} not found")
            self._make_room()
            session = self._sessions[name] = _Session(self.open_handle())
        elif session.busy:
            raise EngineError.of(SESSION_IS_LOCKED, f"Session {name!r} is locked by another query")
        session.busy, session.lifetime = True, min(lifetime, MAX_LIFETIME_S)
        return session.handle

    def give_back(self, name: str) -> None:
        session = self._sessions.pop(name)
        session.busy, session.expires = False, self.clock() + session.lifetime
        self._sessions[name] = session  # last in the dict: the one used last

    def close(self) -> None:
        for session in self._sessions.values():
            session.handle.close()
        self._sessions.clear()

    def _expire(self) -> None:
        now = self.clock()
        for name in [n for n, s in self._sessions.items() if not s.busy and s.expires <= now]:
            self._sessions.pop(name).handle.close()

    def _make_room(self) -> None:
        if len(self._sessions) < self.limit:
            return
        idle = next((name for name, s in self._sessions.items() if not s.busy), None)
        if idle is None:
            raise EngineError.of(
                TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many sessions: all {self.limit} are busy"
            )
        self._sessions.pop(idle).handle.close()
