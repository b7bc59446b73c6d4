"""What waits to be sent: bounded by bytes, the oldest goes first when it is full."""

from __future__ import annotations

import threading
from collections import deque

from novacron_agent.otlp import Request


class Backlog:
    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._waiting: deque[Request] = deque()
        self._size = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, request: Request) -> list[Request]:
        """Add the newest; the oldest that had to go for it are returned."""
        with self._changed:
            self._waiting.append(request)
            self._size += len(request.body)
            dropped = []
            while self._size > self._limit:
                dropped.append(self._pop())
            self._changed.notify()
            return dropped

    def get(self) -> Request | None:
        """Take the oldest, waiting for one; None when it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._pop() if self._waiting else None

    def close(self) -> None:
        """Whoever takes does not wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def clear(self) -> list[Request]:
        with self._changed:
            rest = list(self._waiting)
            self._waiting.clear()
            self._size = 0
            return rest

    def __len__(self) -> int:
        return len(self._waiting)

    def _pop(self) -> Request:
        request = self._waiting.popleft()
        self._size -= len(request.body)
        return request
