"""How old news may be before it is called stale: one rule for the API, the CLI and the UI."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

DEFAULT_INTERVAL_S = 10.0  # of a sender that does not tell
STALE_AFTER_S = 15.0  # at the least: the inventory itself is written every few seconds
GONE_AFTER_S = 300.0  # at the least


class Freshness(StrEnum):
    FRESH = "fresh"  # at most three intervals old
    STALE = "stale"  # late: the last values are shown, as old ones
    GONE = "gone"  # thirty intervals and more: no longer counted as there


def stale_after_s(interval_s: float | None) -> float:
    """`interval_s` is how often the sender sends; None: not known."""
    return max(3 * (interval_s or DEFAULT_INTERVAL_S), STALE_AFTER_S)


def gone_after_s(interval_s: float | None) -> float:
    """`interval_s` is how often the sender sends; None: not known."""
    return max(30 * (interval_s or DEFAULT_INTERVAL_S), GONE_AFTER_S)


def freshness(seen: datetime, now: datetime, interval_s: float | None = None) -> Freshness:
    """`interval_s` is how often the sender sends; None: not known."""
    age_s = (now - seen).total_seconds()
    if age_s <= stale_after_s(interval_s):
        return Freshness.FRESH
    if age_s <= gone_after_s(interval_s):
        return Freshness.STALE
    return Freshness.GONE
