"""A disk that others fill while parts are merged: no row that was there before is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from chaos.disks import full
from chaos.programs import Program, system
from chaos.reckoning import until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

_ROWS = 600_000
_WIDE, _COMPACT = 0, 10**9
_TABLE = """CREATE TABLE old (a UInt64, b String CODEC(NONE)) ENGINE = MergeTree ORDER BY a
SETTINGS non_replicated_deduplication_window = 1000, min_bytes_for_wide_part = {wide}"""
_INSERT = f"""INSERT INTO old SELECT number, randomPrintableASCII(60) FROM numbers({_ROWS})
SETTINGS max_insert_threads = 1"""
_MERGE = "OPTIMIZE TABLE old FINAL SETTINGS optimize_throw_if_noop = 1"
_SUMS = "SELECT count(), sum(a), sum(cityHash64(b)) FROM old"


@pytest.fixture
def disk(small_disk: Callable[[str], Path]) -> Path:
    return small_disk("420m")


@pytest.fixture
def store(disk: Path, tmp_path: Path) -> Iterator[tuple[Program, Client]]:
    with started(disk, tmp_path) as both:
        yield both


@contextmanager
def started(disk: Path, folder: Path) -> Iterator[tuple[Program, Client]]:
    """A store on that disk, of which it keeps 64 MiB free."""
    parts = system(folder, data=disk / "data")
    parts.store.start()
    parts.store.wait()
    client = parts.client()
    yield parts.store, client
    client.close()
    parts.store.kill()


@contextmanager
def filled_after(disk: Path, delay: float) -> Iterator[None]:
    """The disk gets full `delay` after the block begins and is, for some time after its end."""
    begin, ended = threading.Event(), threading.Event()

    def fill() -> None:
        begin.wait()
        time.sleep(delay)
        with full(disk):
            ended.wait()
            time.sleep(1)

    thread = threading.Thread(target=fill)
    thread.start()
    begin.set()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def two_parts(client: Client, wide: int) -> Sequence[Sequence[Any]]:
    """What a table of two parts of 40 MB has in it."""
    client.command("DROP TABLE IF EXISTS old SYNC")
    client.command(_TABLE.format(wide=wide))
    client.command("SYSTEM STOP MERGES old")
    client.command(_INSERT)
    client.command(_INSERT)
    client.command("SYSTEM START MERGES old")
    return client.query(_SUMS).result_rows


def read(client: Client) -> Sequence[Sequence[Any]]:
    """What it has in it now; nothing while that cannot be read."""
    try:
        return client.query(_SUMS).result_rows
    except DatabaseError:
        return []


@pytest.mark.parametrize("wide", [_WIDE, _COMPACT])
@pytest.mark.parametrize("delay", [0, 0.02, 0.05, 0.08, 0.12])
def test_merges_that_run_while_the_disk_gets_full_lose_nothing(
    store: tuple[Program, Client], disk: Path, delay: float, wide: int
) -> None:
    program, client = store
    for _ in range(2):
        rows = two_parts(client, wide)
        with suppress(DatabaseError), filled_after(disk, delay):  # it may be cancelled
            client.command(_MERGE)
        until(lambda: read(client) == rows, 20, f"all is there: {program.last_words()}")  # noqa: B023
        until(lambda: _is_merged(client), 20, "merges go on")
        assert read(client) == rows
        assert client.command("CHECK TABLE old SETTINGS check_query_single_value_result = 1") == 1


def _is_merged(client: Client) -> bool:
    with suppress(DatabaseError):  # they are held
        client.command(_MERGE)
        return True
    return False
