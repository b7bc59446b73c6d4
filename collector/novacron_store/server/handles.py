"""Which handle a request works with, and what becomes of it afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from novacron_store.server.engine import Handle

_Settings = Mapping[str, str]


@dataclass(slots=True)
class Lease:
    """One handle for one request, in a thread of a pool. `keep` takes it back afterwards, unless
    that is None, or the request spoiled it: then it is closed."""

    open: Callable[[], Handle]
    keep: Callable[[Handle], None] | None = None
    is_session: bool = False  # whose handle is closed with it
    _handle: Handle | None = None

    @classmethod
    def of_session(cls, handle: Handle) -> Lease:
        return cls(lambda: handle, is_session=True)

    def take(self) -> Handle:
        """
        Raises:
            EngineError: a setting is refused.
        """
        self._handle = self.open()
        return self._handle

    def leave(self, *, spoiled: bool) -> None:
        """`spoiled`: something of the request may be left in it."""
        assert self._handle is not None
        if self.is_session:
            return
        if self.keep is None or spoiled:
            self._handle.close()
        else:
            self.keep(self._handle)


@dataclass(slots=True)
class Handles:
    """Handles that lie idle until a request wants one of the same settings: to open one, and to set
    its settings and database, costs as much as a small query does.

    At most `limit` of them; the one that has been idle for longest makes room. Threads share it.
    """

    open: Callable[[_Settings], Handle]
    limit: int = 32
    _idle: list[tuple[_Settings, Handle]] = field(default_factory=list)  # in the order of their use
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def lease(self, settings: _Settings) -> Lease:
        return Lease(lambda: self._take(settings), lambda handle: self._give_back(settings, handle))

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for _, handle in idle:
            handle.close()

    def _take(self, settings: _Settings) -> Handle:
        with self._lock:
            for place in reversed(range(len(self._idle))):
                if self._idle[place][0] == settings:
                    return self._idle.pop(place)[1]
        return self.open(settings)

    def _give_back(self, settings: _Settings, handle: Handle) -> None:
        with self._lock:
            self._idle.append((settings, handle))
            oldest = self._idle.pop(0)[1] if len(self._idle) > self.limit else None
        if oldest is not None:
            oldest.close()
