"""When news is old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from novacron_store.state import Freshness, freshness

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age_s", "interval_s", "expected"),
    [
        (0, 10, Freshness.FRESH),
        (30, 10, Freshness.FRESH),
        (31, 10, Freshness.STALE),
        (300, 10, Freshness.STALE),
        (301, 10, Freshness.GONE),
        (30, None, Freshness.FRESH),
        (31, None, Freshness.STALE),
        (15, 1, Freshness.FRESH),
        (16, 1, Freshness.STALE),
        (180, 60, Freshness.FRESH),
        (1800, 60, Freshness.STALE),
        (1801, 60, Freshness.GONE),
        (-5, 10, Freshness.FRESH),
    ],
)
def test_freshness_follows_the_interval(
    age_s: float, interval_s: float | None, expected: Freshness
) -> None:
    assert freshness(NOW - timedelta(seconds=age_s), NOW, interval_s) is expected
