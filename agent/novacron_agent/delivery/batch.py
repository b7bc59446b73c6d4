"""A sealed batch: the bytes of one request, which never change, and what is known of them."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from enum import StrEnum


class Dropped(StrEnum):
    """Why points were given up before they were delivered; the value of `novacron.reason`."""

    SIZE = "size"  # the spool is full: the oldest goes
    AGE = "age"  # it waited for too long
    DISK = "disk"  # the disk is full: the oldest goes
    MEMORY = "memory"  # nothing could be written, and memory is full
    REFUSED = "refused"  # the destination will never take the batch: a dead letter
    REJECTED = "rejected"  # the destination took the batch without them


SPOOLED = (Dropped.SIZE, Dropped.AGE, Dropped.DISK, Dropped.MEMORY)  # the others reached it


@dataclass(frozen=True, slots=True)
class Batch:
    """`place` is its place in the queue. A `notice` tells of gaps, and is never dropped itself."""

    place: int
    id: uuid.UUID
    body: bytes  # gzip of an ExportMetricsServiceRequest
    points: int
    first_ns: int
    last_ns: int
    created_ns: int
    notice: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """`points` between these two times will never arrive."""

    reason: Dropped
    first_ns: int
    last_ns: int
    points: int

    def __add__(self, other: Gap) -> Gap:
        first, last = min(self.first_ns, other.first_ns), max(self.last_ns, other.last_ns)
        return Gap(self.reason, first, last, self.points + other.points)


def uuid7(now_ns: int) -> uuid.UUID:
    """A UUID of version 7 (RFC 9562): milliseconds, then 74 random bits."""
    milliseconds = now_ns // 1_000_000 & (1 << 48) - 1
    high = milliseconds << 16 | 7 << 12 | secrets.randbits(12)
    return uuid.UUID(int=high << 64 | 2 << 62 | secrets.randbits(62))
