"""The audit: every change on record with who made it, and no row that can be altered unseen."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from novacron_contract.access import ANONYMOUS, SYSTEM, Grant, Principal, PrincipalKind, Role
from novacron_contract.errors import Unavailable
from novacron_store.state import Audit, Entry, Head, Outcome, open_state
from novacron_store.state.audit import MAX_DETAIL, Wanted
from novacron_store.state.audit_chain import Row, Verified, Walk
from novacron_store.state.copy import dump, load
from novacron_store.state.database import writing

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
ANN = Principal(PrincipalKind.USER, "u1", "ann", (Grant(Role.ADMIN),))


@pytest.fixture
def audit(engine: Engine) -> Audit:
    return Audit(engine, now=lambda: NOON)


def entry(action: str = "user.create", target: str = "user:bob", **detail: object) -> Entry:
    return Entry(ANN, action, target, Outcome.SUCCEEDED, "::1", "asked for", detail)


def test_a_row_says_who_did_what_and_why(audit: Audit) -> None:
    audit.append(entry(grants=["viewer fleet"]))

    row = audit.rows(Wanted())[0]
    assert (row.seq, row.at, row.actor_kind, row.actor_id, row.actor_name) == (
        *(1, NOON, "user", "u1", "ann"),
    )
    assert (row.action, row.target, row.source, row.reason, row.outcome, row.detail) == (
        *("user.create", "user:bob", "::1", "asked for", "succeeded"),
        '{"grants":["viewer fleet"]}',
    )
    assert audit.verify() == Verified(Head(1, row.hash))


def test_a_change_that_fails_leaves_no_row(audit: Audit) -> None:
    def fail() -> None:
        with writing(audit.engine) as connection:
            audit.record(connection, entry(), entry())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    audit.append(entry())
    assert [row.seq for row in audit.rows(Wanted())] == [1]


def test_many_writers_leave_no_gap(audit: Audit) -> None:
    def write() -> None:
        for _ in range(5):
            audit.append(entry(), entry())

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.seq for row in audit.rows(Wanted(), limit=1000)] == list(range(80, 0, -1))
    assert audit.verify().bad_seq is None


@pytest.mark.parametrize("change", ["UPDATE audit SET reason = 'none'", "DELETE FROM audit"])
def test_the_database_itself_refuses_to_change_a_row(audit: Audit, change: str) -> None:
    audit.append(entry())
    with pytest.raises(Unavailable, match="only added to"), writing(audit.engine) as connection:
        connection.execute(text(change))
    assert audit.verify().head.seq == 1


def unlocked(engine: Engine, change: str) -> None:
    """As somebody does it who has the whole database."""
    drop = ["DROP TRIGGER IF EXISTS audit_no_update", "DROP TRIGGER IF EXISTS audit_no_delete"]
    if engine.dialect.name == "postgresql":
        drop = ["DROP TRIGGER audit_no_change ON audit"]
    with writing(engine) as connection:
        for statement in (*drop, change):
            connection.execute(text(statement))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE audit SET actor_name = 'eve' WHERE seq = 3", "row 3 was changed"),
        ("DELETE FROM audit WHERE seq = 3", "row 3 is missing"),
        ("UPDATE audit SET seq = 9 WHERE seq = 3", "row 3 is missing"),
        ("UPDATE audit SET previous = hash WHERE seq = 3", "row 3 does not follow"),
    ],
)
def test_who_has_the_database_cannot_change_it_unseen(audit: Audit, change: str, said: str) -> None:
    audit.append(*(entry(target=f"user:{number}") for number in range(5)))
    unlocked(audit.engine, change)

    found = audit.verify()
    assert (found.bad_seq, found.head.seq) == (3, 2)
    assert said in found.problem


def test_a_tail_that_was_cut_off_is_found_by_a_head_that_was_kept(audit: Audit) -> None:
    audit.append(*(entry() for _ in range(5)))
    kept = audit.verify().head
    unlocked(audit.engine, "DELETE FROM audit WHERE seq > 3")

    assert audit.verify().bad_seq is None
    assert audit.verify(kept).bad_seq == 4
    audit.append(entry("x"), entry("y"), entry("z"))
    assert "written anew" in audit.verify(kept).problem


def test_a_copy_holds_the_same_chain(audit: Audit, tmp_path: Path) -> None:
    hostile = Principal(PrincipalKind.ANONYMOUS, "", "\0\ud800ü\n" * 500, ())
    audit.append(
        entry(deep={"a": [1.5, None, "\0\ud800"]}), Entry(hostile, "a", "b", Outcome.DENIED)
    )
    other = open_state(f"sqlite:///{tmp_path}/other.db")

    load(other, dump(audit.engine))

    assert Audit(other).verify() == audit.verify()
    assert audit.verify().bad_seq is None
    Audit(other).append(entry())
    assert Audit(other).verify(audit.verify().head).head.seq == 3
    other.dispose()


@pytest.mark.parametrize("filler", ["x", '"', "\\", "\n", "ü", "🦊"])
def test_of_a_long_detail_only_the_beginning_is_kept(audit: Audit, filler: str) -> None:
    audit.append(entry(said=filler * 100_000))
    row = audit.rows(Wanted())[0]
    assert len(row.detail.encode()) <= MAX_DETAIL
    assert "cut_of_bytes" in row.detail


def test_rows_are_found_by_what_is_asked(audit: Audit) -> None:
    audit.append(
        entry("user.create", "user:bob"),
        Entry(SYSTEM, "command.succeeded", "vm:1", Outcome.SUCCEEDED),
        Entry(ANONYMOUS, "user.remove", "user:bob", Outcome.DENIED),
        entry("userland", "vm:1"),
    )

    def found(**wanted: object) -> list[int]:
        return [row.seq for row in audit.rows(Wanted(**wanted))]  # type: ignore[arg-type]

    assert found(actor="ann") == [4, 1]
    assert found(action="user") == [3, 1]
    assert found(action="user.create") == [1]
    assert found(action="use_") == []
    assert found(target="vm:1") == [4, 2]
    assert found(outcome="denied") == [3]
    assert found(since=NOON, until=NOON) == []
    assert found(since=NOON, until=NOON + timedelta(seconds=1)) == [4, 3, 2, 1]
    assert [row.seq for row in audit.rows(Wanted(), before=4, limit=2)] == [3, 2]


def test_more_rows_than_are_read_at_once_are_verified(audit: Audit) -> None:
    audit.append(*(entry(number=number) for number in range(2100)))
    assert audit.verify().head.seq == 2100


def chain(length: int) -> list[Row]:
    rows: list[Row] = []
    head = Head()
    for number in range(length):
        row = Row(head.seq + 1, NOON, "user", "u", "ann", "", "a", str(number), "", "", "x", "{}",
                  head.hash)  # fmt: skip
        rows.append(replace(row, hash=row.sealed()))
        head = Head(rows[-1].seq, rows[-1].hash)
    return rows


def verified(rows: list[Row], head: Head | None = None) -> Verified:
    walk = Walk(head)
    walk.pass_by(rows)
    return walk.end()


TEXTS = [name for name, of in Row.__annotations__.items() if of == "str"]


@given(st.data())
def test_any_change_removal_swap_or_insertion_is_found(data: st.DataObject) -> None:
    rows = chain(data.draw(st.integers(2, 12)))
    whole = verified(rows)
    assert whole == Verified(Head(len(rows), rows[-1].hash))
    at = data.draw(st.integers(0, len(rows) - 1))
    match data.draw(st.sampled_from(["change", "move", "remove", "swap", "insert", "reseal"])):
        case "change":
            name, new = data.draw(st.sampled_from(TEXTS)), data.draw(st.text())
            if new == getattr(rows[at], name):
                return
            rows[at] = replace(rows[at], **{name: new})  # type: ignore[arg-type]
        case "move":
            rows[at] = replace(rows[at], at=NOON + timedelta(microseconds=1))
        case "remove":
            del rows[at]
        case "swap":
            other = data.draw(st.integers(0, len(rows) - 1).filter(lambda n: n != at))
            first, second = sorted((at, other))
            rows[first], rows[second] = (
                replace(rows[second], seq=first + 1),
                replace(rows[first], seq=second + 1),
            )
            at = first
        case "insert":
            rows.insert(at, replace(rows[at], target="new"))
        case "reseal":  # by somebody who knows how, and not that the next row tells
            changed = replace(rows[at], reason="another")
            rows[at] = replace(changed, hash=changed.sealed())
            at = min(at + 1, len(rows) - 1)
    assert verified(rows, whole.head).bad_seq == at + 1
