"""What an operator is told of forwarding."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from flask.testing import FlaskClient

from novacron_collector.forward.state import DestinationState, ForwardingState, Lost


def told(http_with: Callable[..., FlaskClient], *states: DestinationState) -> list[str]:
    http = http_with(forwarding=lambda: ForwardingState(states, abandoned=()))
    notices = http.get("/v1/status").get_json()["notices"]
    return [notice["message"] for notice in notices if "central" in notice["message"]]


def test_a_destination_that_does_well_is_no_news(http_with: Callable[..., FlaskClient]) -> None:
    brief = DestinationState("central", problem="HTTP 503", failing_s=59)
    assert told(http_with, DestinationState("central")) == []
    assert told(http_with, brief) == []


def test_a_destination_that_takes_nothing_is_told_with_the_reason(
    http_with: Callable[..., FlaskClient],
) -> None:
    gone = DestinationState("central", problem="Connection refused", failing_s=125)
    assert told(http_with, gone) == [
        "central has taken nothing for 2 min 5 s, and what is to be forwarded there waits on disk: "
        "Connection refused"
    ]


def test_what_never_gets_there_is_told_with_its_time(
    http_with: Callable[..., FlaskClient],
) -> None:
    since = datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC).timestamp()
    lost = Lost(requests=2, points=40, since=since, until=since + 60)
    gap = DestinationState("central", dropped=3, reason="HTTP 400 bad", lost=lost)
    assert told(http_with, gap) == [
        "40 points that came from 2026-11-26 01:02:03 UTC to 2026-11-26 01:03:03 UTC never get to "
        "central: its queue was full or too old, see queue_size and queue_age",
        "central did not take 3 points: HTTP 400 bad",
    ]
