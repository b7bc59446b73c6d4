"""A batch in two, for a destination that finds it too large."""

from __future__ import annotations

import gzip
import zlib

from novacron_agent.otlp import Request
from novacron_otlp import split


def halves(body: bytes) -> tuple[Request, Request] | None:
    """Two that together say what `body` (gzip) says; None for a single point."""
    try:
        both = split.halves(gzip.decompress(body))
    except (OSError, EOFError, zlib.error):
        return None
    return (_sealed(both[0]), _sealed(both[1])) if both else None


def _sealed(plain: bytes) -> Request:
    times = [point.time_unix_nano for point in split.points(plain)]
    body = gzip.compress(plain, compresslevel=5, mtime=0)
    return Request(body, len(times), min(times, default=0), max(times, default=0))
