"""The end of a scenario: all that waits is written, rolled up, compared with the accounts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from clickhouse_connect.driver.client import Client

from chaos.accounts import Account
from chaos.checker import Checked, check, missing
from chaos.programs import System
from novacron_store.telemetry.rollups import Roller

_STUCK_S = 30.0  # without one point more: the rest will not come


def reckon(parts: System, accounts: Sequence[Account]) -> Checked:
    """Stops the collectors. What is missing when nothing more comes is a violation.

    Raises:
        AssertionError: a collector did not stop as it should.
    """
    client = parts.client()
    _wait_for_what_comes(client, accounts)
    for collector in parts.collectors:
        code = collector.program.stop()
        assert code == 0, f"stopped with {code}:\n{collector.program.last_words()}"
    Roller(client).run(datetime.now(UTC) + timedelta(hours=2))
    checked = check(client, accounts)
    client.close()
    return checked


def _wait_for_what_comes(client: Client, accounts: Sequence[Account]) -> None:
    left = missing(client, accounts)
    since = time.monotonic()
    while left and time.monotonic() < since + _STUCK_S:
        time.sleep(0.5)
        now = missing(client, accounts)
        if now < left:
            left, since = now, time.monotonic()


def until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """
    Raises:
        AssertionError: `what` did not come true in time.
    """
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.05)
