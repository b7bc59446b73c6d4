"""Ids that sort by time: UUIDs of version 7."""

from __future__ import annotations

import secrets
import threading
from datetime import datetime
from uuid import UUID

_lock = threading.Lock()
_last = 0


def new_id(now: datetime) -> str:
    """Within a process each is greater than the one before."""
    global _last
    stamp = (int(now.timestamp() * 1000) & (2**48 - 1)) << 12
    with _lock:
        _last = max(stamp, _last + 1)  # the 12 bits beside the time count within a millisecond
        head = _last
    value = (head >> 12) << 80 | 7 << 76 | (head & 0xFFF) << 64 | 2 << 62
    return str(UUID(int=value | secrets.randbits(62)))
