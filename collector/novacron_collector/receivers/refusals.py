"""Requests that were turned away, counted by why, wherever they came in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from novacron_collector.wal.log import LogFull
from novacron_contract.errors import NovaCronError

# By the status that the sender is told; what has none of these is an outage, or a bug of ours.
_BY_STATUS = {
    400: "undecodable",
    401: "not_allowed",
    403: "not_allowed",
    404: "not_metrics",
    405: "not_metrics",
    408: "slow",
    413: "too_large",
    415: "unsupported",
    429: "busy",
}


class Refusal(StrEnum):
    UNDECODABLE = "undecodable"
    UNSUPPORTED = "unsupported"  # an encoding or a content type
    NOT_METRICS = "not_metrics"  # another signal, path or method
    TOO_LARGE = "too_large"
    SLOW = "slow"
    NOT_ALLOWED = "not_allowed"  # without a token or a certificate that holds
    GONE = "gone"  # the sender left before it had sent everything
    BUSY = "busy"  # too many requests or bytes in hand
    LOG_FULL = "log_full"
    UNAVAILABLE = "unavailable"  # stopping, or unable


def refusal(err: NovaCronError) -> Refusal:
    if isinstance(err, LogFull):
        return Refusal.LOG_FULL
    return Refusal(_BY_STATUS.get(err.status, Refusal.UNAVAILABLE))


@dataclass
class Refusals:
    """Since the start. Written by one event loop."""

    counts: Counter[Refusal] = field(default_factory=Counter)

    def add(self, why: NovaCronError | Refusal) -> None:
        self.counts[why if isinstance(why, Refusal) else refusal(why)] += 1
