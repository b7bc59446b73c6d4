"""The collector's clock jumps: nothing acknowledged is lost or counts twice, no hand is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chaos.accounts import Account
from chaos.programs import MakeSystem
from chaos.reckoning import reckon, until
from chaos.traffic import Traffic, traffic
from novacron_store.telemetry.rollups import Roller

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Clock:
    """What a process is told that the time is, through libfaketime; intervals stay true."""

    file: Path

    def set(self, time: str) -> None:
        """`+1h`, `-1h`, `+0`, or a date that stands still."""
        new = self.file.with_suffix(".new")
        new.write_text(time + "\n")
        new.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    clock = Clock(tmp_path / "clock")
    clock.set("+0")
    return clock


def refused_by_its_time(text: str) -> bool:
    """A point far ahead of a clock that is wrong is told to be so: it is not acknowledged."""
    return text.startswith("rejected") and "timestamp" in text


def honest(accounts: list[Account]) -> Iterator[Account]:
    for account in accounts:
        account.wrong = [text for text in account.wrong if not refused_by_its_time(text)]
        yield account


def goes_on(sent: Traffic) -> None:
    before = sent.acknowledged()
    until(lambda: sent.acknowledged() > before + 10, 60, "requests are acknowledged")


@pytest.mark.parametrize("jump", ["+1h", "-1h", "1970-01-02 00:00:00"])
def test_a_clock_that_is_wrong_for_a_while_loses_nothing(
    start: MakeSystem, clock: Clock, jump: str
) -> None:
    parts = start(environment=clock.environment)
    (collector,) = parts.collectors
    with traffic("clock", [collector.http], [collector.grpc], senders=6) as sent:
        goes_on(sent)
        clock.set(jump)
        if jump == "+1h":
            goes_on(sent)
        collector.program.kill()
        collector.program.start()
        collector.program.wait()
        if jump == "+1h":
            goes_on(sent)
        clock.set("+0")
        goes_on(sent)
    checked = reckon(parts, list(honest(sent.accounts)))

    assert checked.violations == ()


def test_a_window_that_was_rolled_up_too_early_gets_the_points_that_come_then(
    start: MakeSystem, clock: Clock
) -> None:
    parts = start(environment=clock.environment)
    (collector,) = parts.collectors
    with traffic("early", [collector.http], [collector.grpc], senders=2) as sent:
        goes_on(sent)
        clock.set("+1h")
        until(lambda: " windows, closed " in collector.program.log.read_text(), 60, "it gathers")
        clock.set("+0")
        goes_on(sent)
    checked = reckon(parts, sent.accounts)

    assert checked.violations == ()


def test_points_of_a_window_that_is_done_are_rolled_up_though_the_clock_is_behind(
    start: MakeSystem, clock: Clock
) -> None:
    parts = start(environment=clock.environment)
    (collector,) = parts.collectors
    with traffic("done", [collector.http], [collector.grpc], senders=2) as sent:
        goes_on(sent)
    client = parts.client()
    with traffic("behind", [collector.http], [collector.grpc], senders=2, lag_s=3600) as behind:
        goes_on(behind)
        Roller(client, settle_s=0).run()
        client.close()
        clock.set("-1h")
        goes_on(behind)
        clock.set("+0")
    checked = reckon(parts, [*sent.accounts, *behind.accounts])

    assert checked.violations == ()
