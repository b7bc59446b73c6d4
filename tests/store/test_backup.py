"""Copies of the telemetry database, made while samples come and are moved."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from novacron_contract.errors import ConfigError, Unavailable
from novacron_store.telemetry import backup, retention
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.progress import borders
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch, counter
from store_process import StoreProcess

HOURS = 3
MINUTE = 60.0
BEGIN = (time.time() // 3600 - HOURS - 1) * 3600
SAMPLES = "SELECT metric, entity, toUnixTimestamp64Milli(ts) AS ms, value FROM samples ORDER BY ALL"
Sample = tuple[str, str, int, float]


class Databases:
    """Of one novacron-store, which writes and reads the copies itself."""

    def __init__(self, store: StoreProcess) -> None:
        self._store, self._open = store, list[Client]()

    def another(self, database: str = "") -> Client:
        client = connect(
            self._store.url,
            user="service",
            password=self._store.service_password_file.read_text(),
            database=database or f"copied_{uuid4().hex}",
        )
        self._open.append(client)
        return client

    def restored(self, folder: Path, made: backup.TelemetryCopy) -> Client:
        """A new database with what was copied to `folder`."""
        client = self.another()
        backup.restore(client, folder, made)
        migrate(client)
        return client

    def close(self) -> None:
        for client in self._open:
            client.command(f"DROP DATABASE IF EXISTS {client.database}", use_database=False)
            client.close()


@pytest.fixture
def databases(store_process: StoreProcess) -> Iterator[Databases]:
    every = Databases(store_process)
    yield every
    every.close()


@pytest.fixture
def original(databases: Databases) -> Client:
    client = databases.another()
    migrate(client)
    return client


class Fleet:
    """Sends three series' samples, some of them an hour late."""

    def __init__(self, client: Client, seed: int) -> None:
        self._client, self._random = client, random.Random(seed)
        self.sent: list[Sample] = []
        self.minute = 0

    def send(self, minutes: int = 1) -> None:
        start, self.minute = BEGIN + self.minute * MINUTE, self.minute + minutes
        times = [start + 10 * n for n in range(6 * minutes)]
        if self.minute > 65 and self._random.random() < 0.3:
            times.append(start - 3600 + 5 + 10 * self._random.randrange(6))
        lines = [
            Line("heat", "vm-1", [(t, t % 97) for t in times]),
            counter("io", "vm-1", [(t, t - BEGIN) for t in times]),
            counter("io", "vm-2", [(t, 3 * (t - BEGIN)) for t in times]),
        ]
        write(self._client, batch(lines), uuid4().hex, at(times[0]))
        for of in lines:
            self.sent += [(of.metric, of.entity, int(t * 1000), value) for t, value in of.samples]

    @property
    def now(self) -> float:
        return BEGIN + self.minute * MINUTE


def samples(client: Client) -> list[Sample]:
    return [(row[0], row[1], row[2], row[3]) for row in client.query(SAMPLES).result_rows]


def increase(client: Client, table: str) -> float:
    return float(str(client.command(f"SELECT sum(increase) FROM {table}")))


@pytest.mark.timeout(400)
def test_a_copy_made_under_load_has_all_that_was_stored_before_it(
    databases: Databases, original: Client, tmp_path: Path
) -> None:
    fleet = Fleet(original, seed=1)
    roller = Roller(databases.another(original.database or ""), settle_s=0, kept_s=20)
    ended = threading.Event()

    def move() -> None:
        while not ended.is_set():
            roller.run(at(fleet.now))

    def send() -> None:
        while fleet.minute < HOURS * 60:
            fleet.send(minutes=4)

    moving, sending = threading.Thread(target=move), threading.Thread(target=send)
    moving.start()
    sending.start()
    reader = databases.another(original.database or "")
    copies: list[tuple[set[Sample], Path, backup.TelemetryCopy]] = []
    while sending.is_alive():
        before = set(fleet.sent)
        folder = tmp_path / str(len(copies))
        copies.append((before, folder, backup.copy(reader, folder)))
        time.sleep(0.5)
    sending.join()
    ended.set()
    moving.join()

    assert len(copies) > 2
    for before, folder, made in copies[:: max(1, len(copies) // 4)]:
        restored = databases.restored(folder, made)
        Roller(restored, settle_s=0).run(at(BEGIN + (HOURS + 2) * 3600))
        found = samples(restored)
        assert len(found) == len(set(found))
        assert before <= set(found) <= set(fleet.sent)
        expected = grown(found)
        for table in ("metrics_5m", "metrics_1h"):
            assert increase(restored, table) == expected


def grown(found: list[Sample]) -> float:
    """Of counters that never restart: from the first to the last."""
    of: dict[tuple[str, str], list[float]] = {}
    for metric, entity, _, value in found:
        if metric == "io":
            of.setdefault((metric, entity), []).append(value)
    return sum(max(values) - min(values) for values in of.values())


def test_samples_that_move_on_while_they_are_copied_are_not_lost(
    databases: Databases, original: Client, tmp_path: Path
) -> None:
    fleet = Fleet(original, 5)
    for _ in range(15):
        fleet.send(minutes=10)
    Roller(original).run(at(fleet.now - 5000))
    mover = Roller(databases.another(original.database or ""))
    moved: list[object] = []

    def move(_done: int, _size: int) -> None:
        if not moved:
            moved.append(mover.run(at(fleet.now + 7200)))

    made = backup.copy(original, tmp_path / "copy", progress=move)
    restored = databases.restored(tmp_path / "copy", made)

    assert moved
    assert samples(restored) == sorted(set(fleet.sent))


def test_samples_that_came_late_while_they_were_copied_are_not_lost(
    databases: Databases, original: Client, tmp_path: Path
) -> None:
    """They are stored before the mark that says so: a copy may have the one without the other."""
    fleet = Fleet(original, 5)
    for _ in range(15):
        fleet.send(minutes=10)
    Roller(original).run(at(fleet.now + 7200))
    late = [(BEGIN + 5, 5.0)]
    write(original, batch([counter("io", "vm-1", late)]), "late", at(fleet.now))
    original.command("TRUNCATE TABLE data_dirty_windows")

    made = backup.copy(original, tmp_path / "copy")
    restored = databases.restored(tmp_path / "copy", made)
    Roller(restored, settle_s=0).run(at(time.time() + 10))

    assert samples(restored) == sorted({*fleet.sent, ("io", "vm-1", int(BEGIN * 1000) + 5000, 5.0)})


def test_a_copy_restores_to_an_equal_store(
    databases: Databases, original: Client, tmp_path: Path
) -> None:
    fleet = Fleet(original, 7)
    for _ in range(15):
        fleet.send(minutes=10)
    Roller(original, settle_s=0).run(at(fleet.now))
    retention.apply(original, retention.current(original).keeping("mine", 9e6))

    made = backup.copy(original, tmp_path / "copy")
    restored = databases.restored(tmp_path / "copy", made)

    assert samples(original) == sorted(set(fleet.sent))
    assert samples(restored) == samples(original)
    assert retention.current(restored) == retention.current(original)
    assert borders(restored).revision > borders(original).revision > 0
    for view in ("metrics_5m", "metrics_1h", "series", "samples"):
        query = f"SELECT * FROM {view} ORDER BY ALL FORMAT CSV"  # in which NaN equals NaN
        assert restored.raw_query(query) == original.raw_query(query)
    fleet.send()
    assert len(samples(restored)) < len(samples(original))


def test_a_copy_with_a_base_holds_what_is_new(
    databases: Databases, original: Client, tmp_path: Path
) -> None:
    fleet = Fleet(original, 3)
    for _ in range(13):
        fleet.send(minutes=10)
    Roller(original, settle_s=0).run(at(fleet.now))
    backup.copy(original, tmp_path / "first")
    fleet.send()

    made = backup.copy(original, tmp_path / "second", base=tmp_path / "first")

    restored = databases.restored(tmp_path / "second", made)
    assert samples(restored) == sorted(set(fleet.sent))
    assert size(tmp_path / "second") < size(tmp_path / "first") / 2


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.bin"))


def test_nothing_is_restored_over_what_is_there(
    databases: Databases, original: Client, tmp_path: Path
) -> None:
    Fleet(original, 1).send()
    made = backup.copy(original, tmp_path / "copy")
    another = databases.another()
    migrate(another)
    Fleet(another, 2).send()
    there = samples(another)

    with pytest.raises(ConfigError, match="is not empty"):
        backup.restore(another, tmp_path / "copy", made)

    assert samples(another) == there


def test_a_copy_of_a_newer_release_is_refused(databases: Databases, tmp_path: Path) -> None:
    made = backup.TelemetryCopy("novacron", layout=99)
    with pytest.raises(ConfigError, match="has schema 99, newer than this release's"):
        backup.restore(databases.another(), tmp_path, made)


def test_a_copy_that_cannot_be_written_or_read_says_why(
    databases: Databases, original: Client, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="cannot do this"):
        backup.copy(original, Path("/proc/nowhere"))

    made = backup.copy(original, tmp_path / "copy")
    (tmp_path / "copy" / "samples" / ".backup").unlink()
    with pytest.raises(Unavailable, match="cannot do this"):
        backup.restore(databases.another(), tmp_path / "copy", replace(made))


def test_an_empty_store_is_copied_as_well(
    databases: Databases, original: Client, tmp_path: Path
) -> None:
    made = backup.copy(original, tmp_path / "copy")
    restored = databases.restored(tmp_path / "copy", made)
    Fleet(restored, 1).send()
    assert len(samples(restored)) == 18
