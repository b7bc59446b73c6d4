"""A store that is away is nobody's business but the collector's."""

from __future__ import annotations

import time
from functools import partial

import pytest

from chaos.programs import MakeSystem
from chaos.reckoning import reckon, until
from chaos.traffic import Traffic, traffic

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]


def test_while_the_store_is_away_senders_are_served_and_all_is_there_afterwards(
    start: MakeSystem, away_s: float
) -> None:
    parts = start()
    (collector,) = parts.collectors
    with traffic("away", [collector.http], [collector.grpc]) as sent:
        until(lambda: sent.acknowledged() > 4, 30, "requests are acknowledged")
        parts.store.kill()
        gone = sent.acknowledged()
        time.sleep(away_s)  # the scenario itself: so long it is away
        assert sent.acknowledged() > gone + away_s / 2, "acknowledged from the log"
        assert sent.counted("told to come again") == 0
        parts.store.start()
        parts.store.wait()
    checked = reckon(parts, sent.accounts)

    assert checked.violations == ()
    assert checked.samples > 0


def test_a_collector_killed_while_it_drains_its_log_begins_where_it_was(
    start: MakeSystem,
) -> None:
    parts = start()
    (collector,) = parts.collectors
    parts.store.kill()
    with traffic("drain", [collector.http], [collector.grpc], senders=8, points=200) as sent:
        until(lambda: sent.acknowledged() > 200, 60, "200 requests are acknowledged")
    parts.store.start()
    for _ in range(4):
        collector.program.kill()
        collector.program.start()
        collector.program.wait()
    parts.store.wait()
    checked = reckon(parts, sent.accounts)

    assert checked.violations == ()
    assert checked.samples >= 200 * 200


def more_than(sent: Traffic, requests: int) -> bool:
    return sent.acknowledged() > requests


def test_both_killed_at_once_lose_nothing_that_was_acknowledged(
    start: MakeSystem,
) -> None:
    parts = start()
    (collector,) = parts.collectors
    with traffic("both", [collector.http], [collector.grpc]) as sent:
        for wanted in (5, 10, 15):
            until(partial(more_than, sent, wanted), 60, "requests are acknowledged")
            for program in parts.programs:
                program.kill()
            for program in parts.programs:
                program.start()
    checked = reckon(parts, sent.accounts)

    assert checked.violations == ()
