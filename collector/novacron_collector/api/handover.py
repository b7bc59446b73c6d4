"""Answers in pieces: each is made when the one before is taken, and none when nobody takes them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing

from flask import request

from novacron_collector.connections import GONE

QUEUED = 1  # pieces that wait between the thread that makes them and the connection
_HELD = QUEUED + 2  # with the one in hand, and that which the connection waits to get rid of


def handed_over(pieces: Generator[bytes]) -> Iterator[bytes]:
    """The pieces. It goes on until the last of them is with the client's machine: empty pieces
    wait behind it, and nothing is sent for them."""
    gone = request.environ.get("asgi.scope", {}).get(GONE, lambda: False)

    def each() -> Iterator[bytes]:
        with closing(pieces):
            for piece in pieces:
                yield piece
                if gone():
                    return
        for _ in range(_HELD):
            yield b""

    return each()
