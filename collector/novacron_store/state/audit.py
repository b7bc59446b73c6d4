"""The audit: who did what, when, why, from where, and what came of it. Rows are only added."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Select, insert, select, text

from novacron_contract.access import Principal
from novacron_store.state.audit_chain import Head, Row, Verified, Walk
from novacron_store.state.database import reading, writing
from novacron_store.state.tables.access import audit
from novacron_store.state.tables.columns import storable

MAX_DETAIL = 8192
_LONGEST = {"action": 100, "source": 64}  # characters; others:
_LONG = 512
_ROWS_AT_ONCE = 1000
_LOCK = 0x61756469  # "audi": one writer at a time


class Outcome(StrEnum):
    ALLOWED = "allowed"
    DENIED = "denied"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    OUTCOME_UNKNOWN = "outcome_unknown"


@dataclass(frozen=True, slots=True)
class Entry:
    """`action` is a dotted name such as user.create; `target` what it was done to. No secret may be
    in `detail`, and of more than 8 KiB only the beginning is kept."""

    actor: Principal
    action: str
    target: str
    outcome: Outcome
    source: str = ""
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, from where, and why: what every change is put on record with. `digest` is that of
    the credential."""

    principal: Principal
    source: str = ""
    reason: str = ""
    digest: str = ""

    def entry(
        self, action: str, target: str, outcome: Outcome = Outcome.SUCCEEDED, **detail: Any
    ) -> Entry:
        return Entry(self.principal, action, target, outcome, self.source, self.reason, detail)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: None is any. `action` is a name or its beginning: `user` is user.create, too."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Audit:
    engine: Engine
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def append(self, *entries: Entry) -> None:
        """For what needs no transaction of its own."""
        with writing(self.engine) as connection:
            self.record(connection, *entries)

    def record(self, connection: Connection, *entries: Entry) -> None:
        """Within the caller's `writing` transaction, so that a change and its rows are there
        together or not at all. Do it last: other writers wait until the transaction ends.
        """
        one_at_a_time(connection)
        head = _head(connection)
        rows: list[Row] = []
        for entry in entries:
            rows.append(_row(entry, self.now(), head))
            head = Head(rows[-1].seq, rows[-1].hash)
        if rows:
            connection.execute(insert(audit), [row.columns() for row in rows])

    def rows(self, wanted: Wanted, *, before: int | None = None, limit: int = 100) -> list[Row]:
        """The newest first; `before` is the `seq` of the last one of the page before."""
        query = _where(select(audit), wanted).order_by(audit.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.seq < before)
        with reading(self.engine) as connection:
            return [Row(**row) for row in connection.execute(query).mappings()]

    def verify(self, head: Head | None = None) -> Verified:
        """Go through all of it, some rows at a time; `head` is one that somebody kept."""
        walk = Walk(head)
        for rows in self._portions():
            if not walk.pass_by(rows):
                break
        return walk.end()

    def _portions(self) -> Iterator[list[Row]]:
        after: int | None = None
        while True:
            query = select(audit).order_by(audit.c.seq).limit(_ROWS_AT_ONCE)
            if after is not None:
                query = query.where(audit.c.seq > after)
            with reading(self.engine) as connection:
                rows = [Row(**row) for row in connection.execute(query).mappings()]
            if not rows:
                return
            yield rows
            after = rows[-1].seq


def one_at_a_time(connection: Connection) -> None:
    """From here to the end of the transaction nobody else changes users or writes the audit: SQLite
    has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _head(connection: Connection) -> Head:
    newest = select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
    found = connection.execute(newest).one_or_none()
    return Head() if found is None else Head(found.seq, found.hash)


def _row(entry: Entry, at: datetime, head: Head) -> Row:
    actor = entry.actor
    texts = {
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name,
        "token_id": actor.token_id,
        "action": entry.action,
        "target": entry.target,
        "source": entry.source,
        "reason": entry.reason,
        "outcome": entry.outcome,
    }
    kept = {
        name: _shortened(str(value), _LONGEST.get(name, _LONG)) for name, value in texts.items()
    }
    row = Row(seq=head.seq + 1, at=at, **kept, detail=_detail(entry.detail), previous=head.hash)
    return replace(row, hash=row.sealed())


def _detail(detail: Mapping[str, Any]) -> str:
    whole = json.dumps(detail, sort_keys=True, separators=(",", ":"), default=str)
    if len(whole) <= MAX_DETAIL:
        return whole
    # Characters of JSON may be escaped once more: half of the room is always enough.
    return json.dumps({"cut_of_bytes": len(whole), "beginning": whole[: MAX_DETAIL // 3]})


def _shortened(value: str, longest: int) -> str:
    clean = storable(value)
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def _where(query: Select[Any], wanted: Wanted) -> Select[Any]:
    if wanted.actor is not None:
        query = query.where(audit.c.actor_name == wanted.actor)
    if wanted.action is not None:
        beginning = audit.c.action.startswith(f"{wanted.action}.", autoescape=True)
        query = query.where((audit.c.action == wanted.action) | beginning)
    if wanted.target is not None:
        query = query.where(audit.c.target == wanted.target)
    if wanted.outcome is not None:
        query = query.where(audit.c.outcome == wanted.outcome)
    if wanted.since is not None:
        query = query.where(audit.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(audit.c.at < wanted.until)
    return query
