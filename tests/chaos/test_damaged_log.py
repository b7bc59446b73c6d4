"""A log that is damaged on the disk: the collector starts, says so, and loses no other request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.accounts import Account
from chaos.messages import Timeline, body
from chaos.programs import Collector, MakeSystem, System
from chaos.reckoning import reckon, until
from chaos.transports import Answer, Http, Verdict

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

_POINTS = 500
Damage = Callable[[Path], None]


def append_garbage(segment: Path) -> None:
    with segment.open("ab") as file:
        file.write(bytes(range(256)) * 40)


def flip_a_byte(segment: Path) -> None:
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(content)


def truncate(segment: Path) -> None:
    content = segment.read_bytes()
    segment.write_bytes(content[: len(content) - 100])


def overwrite(segment: Path) -> None:
    segment.write_bytes(b"\0" * segment.stat().st_size)


def post(collector: Collector, request: bytes) -> Answer:
    async def send() -> Answer:
        transport = Http(collector.http, 30)
        try:
            return await transport.send(request)
        finally:
            await transport.close()

    return asyncio.run(send())


def acknowledged(collector: Collector, entity: str) -> tuple[Account, bytes]:
    """An account with one request, which is acknowledged; and the request."""
    account = Account(entity)
    made = Timeline(time.time(), 60).points(_POINTS, time.time())
    account.send(made)
    request = body(entity, made)
    assert post(collector, request).verdict is Verdict.STORED
    account.ack(made)
    return account, request


def lives(parts: System, names: tuple[str, ...]) -> tuple[list[Account], list[Path]]:
    """A request for each life of a collector that is killed after it; and each life's segment.
    The store is away, so that all of it waits in the log."""
    (collector,) = parts.collectors
    parts.store.kill()
    accounts: list[Account] = []
    segments: list[Path] = []
    for name in names:
        accounts.append(acknowledged(collector, name)[0])
        (own,) = set(collector.segments()).difference(segments)
        segments.append(own)
        collector.program.kill()
        if name != names[-1]:
            collector.program.start()
            collector.program.wait()
    return accounts, segments


@pytest.mark.parametrize(
    ("damage", "loses"),
    [(append_garbage, False), (flip_a_byte, True), (overwrite, True)],
)
def test_a_damaged_segment_is_told_of_and_all_else_is_there(
    start: MakeSystem, damage: Damage, loses: bool
) -> None:
    parts = start()
    (collector,) = parts.collectors
    accounts, segments = lives(parts, ("before", "damaged", "after"))
    damage(segments[1])
    if loses:
        accounts[1].acked.clear()
    for program in parts.programs:
        program.start()
        program.wait()

    until(lambda: not collector.segments(), 60, "the log is drained")
    status = collector.status()
    checked = reckon(parts, accounts)

    assert status["counters"]["wal_set_aside"] == 1
    assert "1 damaged segment of the write-ahead log" in str(status["notices"])
    assert checked.violations == ()
    assert checked.samples == (4 if loses else 6) * _POINTS


def test_a_request_that_is_torn_in_the_log_is_stored_when_it_is_sent_again(
    start: MakeSystem,
) -> None:
    """As after a power cut within an append, which no sender was thanked for."""
    parts = start()
    (collector,) = parts.collectors
    parts.store.kill()
    account, request = acknowledged(collector, "torn")
    collector.program.kill()
    truncate(*collector.segments())
    for program in parts.programs:
        program.start()
        program.wait()

    assert post(collector, request).verdict is Verdict.STORED
    checked = reckon(parts, [account])

    assert checked.violations == ()


def test_a_damaged_request_is_stored_when_it_is_sent_again(start: MakeSystem) -> None:
    parts = start()
    (collector,) = parts.collectors
    parts.store.kill()
    account, request = acknowledged(collector, "repeated")
    collector.program.kill()
    flip_a_byte(*collector.segments())
    for program in parts.programs:
        program.start()
        program.wait()

    until(lambda: not collector.segments(), 60, "the log is drained")
    assert post(collector, request).verdict is Verdict.STORED
    checked = reckon(parts, [account])

    assert checked.violations == ()
