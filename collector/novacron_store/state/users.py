"""Local users: their names, passwords and grants. Every change is on record with who made it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from novacron_contract.access import Grant, Role, Scope
from novacron_contract.errors import BadMessage, Conflict, NotFound
from novacron_store.state.audit import Audit, Caller, one_at_a_time
from novacron_store.state.database import reading, writing
from novacron_store.state.granting import give, grants_of, unique, written
from novacron_store.state.tables.access import api_tokens, grants, sessions, users

MOST_USERS = 10_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


@dataclass(frozen=True, slots=True)
class User:
    """`disabled` since then; None: is not."""

    id: str
    name: str
    created: datetime
    disabled: datetime | None
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a user; None: as it was. `password` is its hash."""

    grants: tuple[Grant, ...] | None = None
    disabled: bool | None = None
    password: str | None = None


@dataclass(frozen=True)
class Users:
    engine: Engine
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def count(self) -> int:
        with reading(self.engine) as connection:
            return _count(connection)

    def all(self) -> list[User]:
        """By name."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(users).order_by(users.c.name)).mappings().all()
            given = grants_of(connection, [row["id"] for row in rows])
            return [_user(row, given[row["id"]]) for row in rows]

    def user(self, name: str) -> User:
        """
        Raises:
            NotFound: there is none.
        """
        with reading(self.engine) as connection:
            return _found(connection, name)

    def exists(self, name: str) -> bool:
        with reading(self.engine) as connection:
            return (
                connection.execute(select(users.c.id).where(users.c.name == name)).first()
                is not None
            )

    def password(self, name: str) -> str | None:
        """Its hash; None: no such user, one who is disabled, or one without a password."""
        query = select(users.c.password).where(users.c.name == name, users.c.disabled.is_(None))
        with reading(self.engine) as connection:
            return connection.execute(query).scalar_one_or_none()

    def keep_password(self, name: str, password: str) -> None:
        """The same password in a newer hash: no change that is put on record."""
        with writing(self.engine) as connection:
            connection.execute(update(users).where(users.c.name == name).values(password=password))

    def add(
        self,
        name: str,
        password: str | None,
        given: Sequence[Grant],
        by: Caller,
        *,
        first: bool = False,
    ) -> User:
        """`password` is its hash; `first`: only where there is no user yet.

        Raises:
            BadMessage: that can be no name, or there are too many grants.
            Conflict: the name is in use, or there are users already.
        """
        check_name(name)
        user = User(str(uuid4()), name, self.now(), None, unique(given))
        with writing(self.engine) as connection:
            one_at_a_time(connection)
            _require_room(connection, name, first)
            row = {"id": user.id, "name": name, "created": user.created, "password": password}
            connection.execute(insert(users).values(**row))
            give(connection, user.id, user.grants)
            entry = by.entry("user.create", f"user:{name}", grants=written(user.grants))
            self._audit.record(connection, entry)
        return user

    def change(self, name: str, change: Change, by: Caller) -> User:
        """All of it or nothing. Who is disabled loses sessions and tokens at once; a new password
        ends every session but the one it was changed in.

        Raises:
            NotFound: there is no such user.
            Conflict: nobody would be admin any more.
        """
        with writing(self.engine) as connection:
            one_at_a_time(connection)
            user, had_admin = _found(connection, name), _has_admin(connection)
            values = self._values(user, change)
            if values:
                connection.execute(update(users).where(users.c.id == user.id).values(**values))
            if change.grants is not None:
                connection.execute(delete(grants).where(grants.c.user_id == user.id))
                give(connection, user.id, unique(change.grants))
            _end(connection, user, change, by)
            _require_admin(connection, had_admin)
            entries = [by.entry(action, f"user:{name}", **detail)
                       for action, detail in _told(user, change)]  # fmt: skip
            self._audit.record(connection, *entries)
            return _found(connection, name)

    def remove(self, name: str, by: Caller) -> None:
        """With sessions and tokens; what they did stays on record.

        Raises:
            NotFound: there is no such user.
            Conflict: nobody would be admin any more.
        """
        with writing(self.engine) as connection:
            one_at_a_time(connection)
            user, had_admin = _found(connection, name), _has_admin(connection)
            connection.execute(delete(users).where(users.c.id == user.id))
            _require_admin(connection, had_admin)
            self._audit.record(connection, by.entry("user.remove", f"user:{name}"))

    @property
    def _audit(self) -> Audit:
        return Audit(self.engine, self.now)

    def _values(self, user: User, change: Change) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if change.password is not None:
            values["password"] = change.password
        if change.disabled is not None and change.disabled != (user.disabled is not None):
            values["disabled"] = self.now() if change.disabled else None
        return values


def check_name(name: str) -> None:
    """
    Raises:
        BadMessage: it can be none.
    """
    if not _NAME.fullmatch(name):
        raise BadMessage(
            "name: expected up to 64 of a-z, 0-9, '.', '_', '@' and '-', a letter or digit first"
        )


def _found(connection: Connection, name: str) -> User:
    query = select(users).where(users.c.name == name)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"no user has the name {name[:80]!r}")
    return _user(row, grants_of(connection, [row["id"]])[row["id"]])


def _user(row: Any, given: tuple[Grant, ...]) -> User:
    return User(row["id"], row["name"], row["created"], row["disabled"], given)


def _count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(users)).scalar_one()


def _require_room(connection: Connection, name: str, first: bool) -> None:
    count = _count(connection)
    if first and count:
        raise Conflict("there are users already: an admin adds others (`novacron login`)")
    if count >= MOST_USERS:
        raise Conflict(f"there are {count} users, and no more are possible")
    if connection.execute(select(users.c.id).where(users.c.name == name)).first():
        raise Conflict(f"there is a user {name!r} already")


def _has_admin(connection: Connection) -> bool:
    query = (
        select(users.c.id)
        .join(grants, grants.c.user_id == users.c.id)
        .where(users.c.disabled.is_(None))
        .where(grants.c.role == Role.ADMIN.value, grants.c.scope == str(Scope()))
    )
    return connection.execute(query.limit(1)).first() is not None


def _require_admin(connection: Connection, had_admin: bool) -> None:
    if had_admin and not _has_admin(connection):
        raise Conflict("this is the last admin: make another one first")


def _end(connection: Connection, user: User, change: Change, by: Caller) -> None:
    if change.disabled:
        connection.execute(delete(api_tokens).where(api_tokens.c.user_id == user.id))
    if change.disabled or change.password is not None:
        kept = "" if change.disabled else by.digest
        ended = (sessions.c.user_id == user.id) & (sessions.c.digest != kept)
        connection.execute(delete(sessions).where(ended))


def _told(user: User, change: Change) -> list[tuple[str, dict[str, Any]]]:
    """What goes on record: never the password."""
    told: list[tuple[str, dict[str, Any]]] = []
    if change.grants is not None:
        before, after = written(user.grants), written(unique(change.grants))
        told.append(("user.grant", {"before": before, "after": after}))
    if change.disabled is not None:
        told.append(("user.disable" if change.disabled else "user.enable", {}))
    if change.password is not None:
        told.append(("user.password", {}))
    return told
