"""The ledger: what was stored is known when it is sent again, for as long as it is remembered."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from novacron_collector.wal.ledger import Ledger, key_of

HOUR = 3600.0
START = 1_800_000_000.0


def ledger(folder: Path, seconds: float = 48 * HOUR, capacity: int = 10**6) -> Ledger:
    return Ledger(folder, seconds, capacity, START)


def keys(count: int) -> list[bytes]:
    return [os.urandom(16) for _ in range(count)]


def test_what_was_added_is_known_and_nothing_else(tmp_path: Path) -> None:
    mine, others = keys(200_000), keys(1000)
    known = ledger(tmp_path)
    for at in range(0, len(mine), 1000):
        known.add(mine[at : at + 1000], START)
    assert known.known(mine[::100] + others) == set(mine[::100])
    assert len(known) == len(mine)


def test_what_is_lost_is_known_again_once_it_is_stored_again(tmp_path: Path) -> None:
    lost, kept = keys(3), keys(3)
    known = ledger(tmp_path)
    known.add(lost + kept, START)
    known.forget(lost)
    assert known.known(lost + kept) == set(kept)
    known.add(lost[:1], START)
    assert known.known(lost + kept) == {lost[0], *kept}


def test_a_key_may_end_in_zeros(tmp_path: Path) -> None:
    ending = [b"\1" * 12 + bytes(4), b"\1" * 13 + bytes(3)]
    known = ledger(tmp_path)
    known.add([*ending, *keys(70_000)], START)
    assert known.known([*ending, b"\1" * 11 + bytes(5)]) == set(ending)


def test_saved_keys_are_known_after_a_restart(tmp_path: Path) -> None:
    mine = keys(10)
    ledger(tmp_path).save(mine, START)
    assert ledger(tmp_path).known(mine) == set(mine)


def test_a_record_cut_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    mine = keys(3)
    first = ledger(tmp_path)
    first.save(mine[:2], START)
    (path,) = tmp_path.glob("*.keys")
    path.write_bytes(path.read_bytes()[:-5])
    first.save(mine[2:], START)
    assert ledger(tmp_path).known(mine) == {mine[0], mine[2]}


def test_old_keys_and_their_files_go(tmp_path: Path) -> None:
    old, new = keys(5), keys(5)
    known = ledger(tmp_path, seconds=2 * HOUR)
    known.add(old, START)
    known.save(old, START)
    known.add(new, START + 4 * HOUR)
    known.save(new, START + 4 * HOUR)
    assert known.known(old + new) == set(new)
    assert len(list(tmp_path.glob("*.keys"))) == 1


def test_beyond_its_capacity_the_oldest_hour_goes(tmp_path: Path) -> None:
    known = ledger(tmp_path, capacity=15)
    old, new = keys(10), keys(10)
    known.add(old, START)
    known.add(new, START + HOUR)
    assert known.known(old + new) == set(new)


@given(st.binary(max_size=200))
def test_a_body_compressed_again_is_the_same_request(body: bytes) -> None:
    earlier, later = gzip.compress(body, mtime=1), gzip.compress(body, mtime=2_000_000_000)
    assert key_of(earlier) == key_of(later)
    assert key_of(earlier) != key_of(gzip.compress(body + b"x", mtime=1))
    assert key_of(body) != key_of(body + b"x")
