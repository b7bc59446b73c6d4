"""A spool whose file or disk is not as it should be: the agent goes on, and says so."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path
from random import Random

import pytest

from delivering import delivering, destination, figures, wait_until
from novacron_agent.delivery.batch import Dropped
from novacron_agent.delivery.counts import DeliveryCounts
from novacron_agent.delivery.database import MIGRATIONS, open_database
from novacron_agent.delivery.intake import Intake
from novacron_agent.delivery.spool import Limits, Spool
from novacron_agent.delivery.writer import Writer
from novacron_contract.errors import Unavailable
from otlp_receiver import Response, otlp_receiver
from sealed_requests import START_NS, request


def spool_at(path: Path, counts: DeliveryCounts | None = None) -> Spool:
    return Spool(path, Limits(size=4 * 2**20), counts or DeliveryCounts("there"))


def filled(path: Path, batches: int = 60) -> None:
    spool = spool_at(path)
    spool.put([request(number, padding=3000) for number in range(batches)])
    spool.close()


def count(spool: Spool) -> int:
    """What it gives; the first call may find the damage."""
    with contextlib.suppress(Unavailable):
        spool.take(newest=False)
    found = 0
    while (batch := spool.take(newest=False)) is not None:
        spool.ack(batch)
        found += 1
    return found


@pytest.mark.parametrize(
    "content", [b"no database at all" * 1000, b"SQLite format 3\x00" + bytes(5000)]
)
def test_what_is_no_database_is_set_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path, counts = tmp_path / "s.sqlite", DeliveryCounts("there")
    path.write_bytes(content)
    spool = spool_at(path, counts)

    spool.put([request()])

    assert count(spool) == 1
    [aside] = tmp_path.glob("s.sqlite.damaged-*")
    assert aside.read_bytes() == content
    assert counts.count("spool.set_aside") == 1
    assert f"set aside as {aside.name}, a new one is begun" in caplog.text


def test_a_file_of_a_newer_release_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "s.sqlite"
    filled(path)
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    db.close()

    assert count(spool_at(path)) == 0
    assert "a newer release made it (schema 2, here 1)" in caplog.text


def test_a_file_of_the_release_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    filled(path, batches=3)

    db = open_database(path, 2**20, (*MIGRATIONS, "ALTER TABLE batches ADD COLUMN more TEXT"))

    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    assert db.execute("SELECT count(*), count(more) FROM batches").fetchone() == (3, 0)
    db.close()


def test_a_spool_that_is_cut_off_gives_what_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    filled(path, batches=100)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    saved = count(spool_at(path))

    assert 20 < saved < 80


def test_where_the_disk_is_full_the_rest_is_saved_as_room_becomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.sqlite"
    filled(path, batches=600)
    wrong_page(path, "dead_letters")
    size, disk = 4 * 2**20, 2**19
    more = disk - size - size // 8  # as if the disk held no more than this
    monkeypatch.setattr("novacron_agent.delivery.spool._MORE_BYTES", more)
    counts = DeliveryCounts("there")
    spool = Spool(path, Limits(size=size, dead_size=0), counts)

    found, refused = [], 0
    while refused < 2000:  # the writer tries again and again, while the sender sends
        try:
            spool.put([request(5000)])
            break
        except Unavailable:
            refused += 1
        if (batch := spool.take(newest=False)) is not None:
            spool.ack(batch)
            found.append(batch.body)
    assert refused > 10, "there was room for all"
    assert 0 < spool.state.batches < 600
    while (batch := spool.take(newest=False)) is not None:
        spool.ack(batch)
        found.append(batch.body)

    waited = [*(request(number, padding=3000).body for number in range(600)), request(5000).body]
    lost = counts.lost().get(Dropped.DISK, 0)
    assert lost <= 1, "what makes room for the last"
    assert found == [body for body in waited if body in set(found)], "twice, or out of order"
    assert len(found) == len(waited) - lost
    assert counts.count("spool.set_aside") == 1, "the new file was taken for damaged"
    spool.close()


def wrong_page(path: Path, table: str) -> None:
    """The first one of that table."""
    db = sqlite3.connect(path)
    query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    (number,) = db.execute(query, (table,)).fetchone()
    (size,) = db.execute("PRAGMA page_size").fetchone()
    db.close()
    with path.open("r+b") as file:
        file.seek((number - 1) * size)
        file.write(b"x" * size)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_bytes_are_wrong_it_goes_on(tmp_path: Path, seed: int) -> None:
    path, chance = tmp_path / "s.sqlite", Random(seed)
    filled(path)
    content = bytearray(path.read_bytes())
    for _ in range(20):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(content)
    spool = spool_at(path)

    for _ in range(5):  # damage may be found later, too: then that call fails, and the next goes
        try:
            spool.put([request(1000, points=7)])
            break
        except Unavailable:
            pass
    found = []
    for _ in range(200):
        try:
            if (batch := spool.take(newest=True)) is None:
                break
            spool.ack(batch)
            found.append(batch)
        except Unavailable:
            spool.put([request(1000, points=7)])

    assert 7 in [batch.points for batch in found]
    spool.close()


def test_damage_while_it_runs_is_set_aside_too(tmp_path: Path) -> None:
    with otlp_receiver() as receiver:
        path = tmp_path / "spool/there.sqlite"
        with delivering(tmp_path, destination("http://127.0.0.1:9")) as delivery:
            delivery.offer(request(1))
            wait_until(lambda: figures(delivery).get("spool.batch.count") == 1)
        with path.open("r+b") as file:
            file.write(b"x" * 4096)
        with delivering(tmp_path, destination(receiver.url)) as delivery:
            delivery.offer(request(2))
            receiver.wait_for(1)
            assert figures(delivery)["spool.set_aside"] == 1


def test_few_damaged_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    for number in range(5):
        path.write_bytes(b"damage %d" % number)
        spool = spool_at(path)
        spool.put([request()])
        spool.close()

    kept = sorted(one.read_bytes() for one in tmp_path.glob("*.damaged-*"))
    assert kept == [b"damage 3", b"damage 4"]


def test_without_a_place_for_a_spool_it_sends_from_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").write_text("no folder")
    with (
        otlp_receiver() as receiver,
        delivering(tmp_path, destination(receiver.url)) as delivery,
    ):
        for number in range(3):
            delivery.offer(request(number))
        receiver.wait_for(3)
        wait_until(lambda: figures(delivery).get("export.points") == 3)
        assert figures(delivery)["spool.errors"] >= 1

    assert caplog.text.count("what cannot be written waits in memory") == 1


def test_without_a_spool_each_batch_has_its_own_tries(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no folder")
    poison, later = request(0).body, request(99).body
    failed: list[bytes] = []

    def answer(body: bytes) -> Response:
        fails = body == poison or (body == later and later not in failed)
        failed.extend([body] * fails)
        return Response(500 if fails else 200)

    with (
        otlp_receiver(otherwise=answer) as receiver,
        delivering(tmp_path, destination(receiver.url)) as delivery,
    ):
        for number in range(20):
            delivery.offer(request(number))
        wait_until(lambda: figures(delivery).get("export.dead_letters") == 1)
        delivery.offer(request(99))
        wait_until(lambda: figures(delivery).get("export.points") == 20)

    assert failed.count(poison) >= 5
    assert failed.count(later) == 1


def test_what_came_after_a_damaged_spool_is_not_taken_for_what_was_delivered_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novacron_agent.delivery.spool._HANG_S", 0.1)
    locks: list[threading.Lock] = []

    def hang(_body: bytes) -> Response:
        while locks:
            locks.pop().acquire()  # as a commit that does not come back
        return Response(200)

    with (
        otlp_receiver(otherwise=hang) as receiver,
        delivering(tmp_path, destination(receiver.url)) as delivery,
    ):
        [way] = delivery._ways.values()
        lock = way.spool._lock
        locks.append(lock)
        delivery.offer(request(1))
        wait_until(lambda: bool(way.sender._not_removed))
        way.spool._disconnect()
        way.spool.path.write_bytes(b"no database at all" * 1000)
        lock.release()

        delivery.offer(request(2))
        receiver.wait_for(2)
        assert figures(delivery)["spool.set_aside"] == 1

    assert [one.body for one in receiver.accepted] == [request(1).body, request(2).body]


def test_memory_is_bounded_and_what_it_lost_becomes_a_gap(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    folder.write_text("no folder yet")
    counts = DeliveryCounts("there")
    spool, news = Spool(folder / "s.sqlite", Limits(), counts), threading.Event()
    one = len(request(0, padding=1000).body)
    intake = Intake(counts, limit_bytes=4 * one + 100)
    writer = Writer("there", spool, intake, counts, news)
    writer.start()
    for number in range(10):
        intake.offer(request(number, padding=1000))
    wait_until(lambda: intake.is_stuck)
    lost = counts.lost()[Dropped.MEMORY]
    assert 5 <= lost <= 7

    folder.unlink()
    wait_until(lambda: len(intake) == 0)

    heard = []
    spool.tell_gaps(lambda gaps: heard.extend(gaps) or request(99))  # type: ignore[func-returns-value]
    assert [(g.reason, g.points, g.first_ns) for g in heard] == [(Dropped.MEMORY, lost, START_NS)]
    assert counts.lost()[Dropped.MEMORY] == lost
    writer.close(1)
    spool.close()


def test_a_disk_that_hangs_stops_nobody(tmp_path: Path) -> None:
    with (
        otlp_receiver() as receiver,
        delivering(tmp_path, destination(receiver.url)) as delivery,
    ):
        delivery.offer(request(0))
        wait_until(lambda: figures(delivery).get("export.points") == 1)
        [way] = delivery._ways.values()
        with way.spool._lock:  # as a commit that does not come back
            started = time.monotonic()
            for number in range(1, 4):
                delivery.offer(request(number))
            assert time.monotonic() - started < 0.1
            receiver.wait_for(4, timeout=30)
