"""The end of a scenario: all that waits is written, rolled up, compared with the accounts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from chaos.accounts import Account
from chaos.checker import Checked, check, missing
from chaos.programs import System
from novacron_store.telemetry.rollups import Roller

_DRAINED_S = 180.0


def reckon(parts: System, accounts: Sequence[Account]) -> Checked:
    """Stops the collectors. What is still missing when the time is over is a violation.

    Raises:
        AssertionError: a collector did not stop as it should.
    """
    client = parts.client()
    deadline = time.monotonic() + _DRAINED_S
    while missing(client, accounts) and time.monotonic() < deadline:
        time.sleep(0.5)
    for collector in parts.collectors:
        code = collector.program.stop()
        assert code == 0, f"stopped with {code}:\n{collector.program.last_words()}"
    Roller(client).run(datetime.now(UTC) + timedelta(hours=2))
    checked = check(client, accounts)
    client.close()
    return checked


def until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """
    Raises:
        AssertionError: `what` did not come true in time.
    """
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.05)
