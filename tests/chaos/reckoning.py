"""The end of a scenario: all that waits is written, rolled up, compared with the accounts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client

from chaos.accounts import Account
from chaos.checker import Checked, check, missing
from chaos.programs import System
from novacron_store.telemetry.rollups import Roller

log = logging.getLogger(__name__)

_STUCK_S = 30.0  # without one point more: the rest will not come
_LED_THERE = (
    "SELECT resolution, toUnixTimestamp(upto) FROM data_rolled",
    "SELECT toUnixTimestamp(window), mark, marked, done FROM data_dirty_windows ORDER BY marked",
    "SELECT entity, toStartOfFiveMinutes(ts) AS window, arrived, count(), min(ts), max(ts) "
    "FROM data_arrivals GROUP BY ALL ORDER BY ALL",
    "SELECT entity, metric, t, version, length(times), times[1], times[-1] "
    "FROM data_windows ORDER BY ALL",
    "SELECT entity, metric, hour, version, length(steps), scale FROM data_blocks ORDER BY ALL",
    "SELECT entity, metric, t, count FROM metrics_5m ORDER BY ALL",
)


def reckon(parts: System, accounts: Sequence[Account]) -> Checked:
    """Stops the collectors. What is missing when nothing more comes is a violation.

    Raises:
        AssertionError: a collector did not stop as it should, or did not write its log.
    """
    client = parts.client()
    _wait_for_what_comes(client, parts, accounts)
    for collector in parts.collectors:
        code = collector.program.stop()
        assert code == 0, f"stopped with {code}:\n{collector.program.last_words()}"
    Roller(client).run(datetime.now(UTC) + timedelta(hours=2))
    checked = check(client, accounts)
    for text in checked.violations:
        log.warning("%s", text)
    if checked.violations:
        _log_what_led_there(client)
    client.close()
    return checked


def _wait_for_what_comes(client: Client, parts: System, accounts: Sequence[Account]) -> None:
    """Points that a killed collector wrote may be there before their windows are marked for the
    next roll-up: whoever starts after it writes their segments again. So the logs count too."""
    logged = _segments(parts)
    left, since = missing(client, accounts) + len(logged), time.monotonic()
    while left and time.monotonic() < since + _STUCK_S:
        time.sleep(0.5)
        logged &= _segments(parts)
        now = missing(client, accounts) + len(logged)
        if now < left:
            left, since = now, time.monotonic()
    assert not logged, f"not written for {_STUCK_S} s: {sorted(logged)}"


def _segments(parts: System) -> set[Path]:
    return {path for collector in parts.collectors for path in collector.segments()}


def _log_what_led_there(client: Client) -> None:
    for sql in _LED_THERE:
        rows = client.query(sql).result_rows
        log.warning("%s:\n%s", sql, "\n".join(map(str, rows)))


def until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """
    Raises:
        AssertionError: `what` did not come true in time.
    """
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.05)
