"""Two collectors over one store: what a sender gives to both counts once."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from chaos.accounts import Account
from chaos.messages import Timeline
from chaos.programs import MakeSystem
from chaos.proxy import Fault, Kind, Proxy
from chaos.reckoning import reckon
from chaos.senders import Sender
from chaos.storm import Plan, Storm
from chaos.transports import Http

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def test_a_request_whose_answer_was_dropped_is_given_to_the_other_collector_and_counts_once(
    start: MakeSystem,
) -> None:
    parts = start(collectors=2)
    account = Account("failover")

    async def send() -> None:
        first, second = parts.collectors
        dropped = Proxy(first.http, lambda: Fault(Kind.DROP_ANSWER))
        async with dropped.serving() as proxy:
            targets = [Http(proxy.address, 10), Http(second.http, 10)]
            chance = random.Random(1)
            sender = Sender(account, Timeline(time.time(), 400), targets, chance, gives_up=0)
            stop = asyncio.Event()
            sending = asyncio.create_task(sender.run(stop))
            while proxy.struck[Kind.DROP_ANSWER] < 10:
                await asyncio.sleep(0.02)
            stop.set()
            await sending

    asyncio.run(send())
    checked = reckon(parts, [account])

    assert checked.violations == ()
    assert checked.samples == 2 * len(account.sent) == 2 * len(account.acked)


def test_both_collectors_killed_in_turn_count_everything_once(tmp_path: Path) -> None:
    plan = Plan(seed=7, kills=8, collectors=2, faults=0.8, limit_s=40)
    report = Storm(plan, tmp_path, lambda _: None).run()

    assert report.violations == ()
    assert report.killed["novacron-collector"] > 0
