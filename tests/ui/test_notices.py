"""What the collector tells the operator, and what is told when it does not answer."""

from __future__ import annotations

import httpx
import pytest

from free_ports import free_port
from live_feed import LiveFeed
from novacron_ui.query.notices import Notices


def notices(port: int) -> list[dict[str, str]]:
    with httpx.Client(timeout=5) as http:
        return Notices(f"http://127.0.0.1:{port}", http).current()


def test_the_collectors_notices_are_passed_on(feed: LiveFeed) -> None:
    feed.notices[:] = [{"severity": "info", "message": "Nobody reports yet: start an agent"}]
    assert notices(feed.port) == feed.notices


@pytest.mark.parametrize("broken", [{"severity": "shrug", "message": "x"}, {"severity": "info"}])
def test_a_status_that_makes_no_sense_is_a_notice(feed: LiveFeed, broken: dict[str, str]) -> None:
    feed.notices[:] = [broken]
    (notice,) = notices(feed.port)
    assert notice["severity"] == "critical"


def test_a_collector_that_is_away_is_a_notice() -> None:
    port = free_port()
    (notice,) = notices(port)
    assert f"http://127.0.0.1:{port} does not answer" in notice["message"]
