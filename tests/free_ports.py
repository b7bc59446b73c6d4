"""Ports for servers that a test starts."""

from __future__ import annotations

import random
import socket

# Below those that the kernel gives connections: between the look and the server's start none of
# theirs can take it.
_FIRST, _LAST = 15_000, 32_000
_RANDOM = random.SystemRandom()


def free_port() -> int:
    while True:
        port = _RANDOM.randint(_FIRST, _LAST)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
