"""A batch in two, for a destination that finds it too large."""

from __future__ import annotations

import gzip
import zlib

from novacron_agent.otlp import Request


def halves(body: bytes) -> tuple[Request, Request] | None:
    """Two that together say what `body` (gzip) says; None for a single point."""
    from novacron_otlp import split  # protobuf's library takes 2.6 MB: only when it is needed

    try:
        both = split.halves(gzip.decompress(body))
    except (OSError, EOFError, zlib.error):
        return None
    if both is None:
        return None
    first, second = ([point.time_unix_nano for point in split.points(half)] for half in both)
    return _sealed(both[0], first), _sealed(both[1], second)


def _sealed(plain: bytes, times: list[int]) -> Request:
    body = gzip.compress(plain, compresslevel=5, mtime=0)
    return Request(body, len(times), min(times, default=0), max(times, default=0))
