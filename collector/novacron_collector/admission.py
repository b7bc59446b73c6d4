"""Room for requests in hand: bounded by number and by bytes, whoever sends them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from novacron_contract.errors import Unavailable


class Busy(Unavailable):
    """More is in hand than is allowed; later there will be room."""

    status = 429


class Room:
    """Serves one event loop."""

    def __init__(self, max_bytes: int, max_requests: int) -> None:
        self._max_bytes = max_bytes
        self._max_requests = max_requests
        self.bytes = 0
        self.requests = 0

    @contextmanager
    def enter(self) -> Iterator[Place]:
        """
        Raises:
            Busy: too many requests are in hand.
        """
        if self.requests >= self._max_requests:
            raise Busy(f"{self.requests} requests are in hand, and no more are allowed")
        self.requests += 1
        place = Place(self)
        try:
            yield place
        finally:
            self.requests -= 1
            self.bytes -= place.bytes

    def grow(self, count: int) -> None:
        if self.bytes + count > self._max_bytes:
            raise Busy(f"requests in hand hold {self.bytes} bytes, and there is no room for more")
        self.bytes += count


class Place:
    """One request's share of the room, given back as a whole."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.bytes = 0

    def grow(self, count: int) -> None:
        """
        Raises:
            Busy: there is no room for so many bytes more.
        """
        self._room.grow(count)
        self.bytes += count
