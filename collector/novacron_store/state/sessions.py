"""Sessions: what a person holds after the name and password were right, until it is unused for long
or old."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, delete, insert, select, update

from novacron_contract.access import Principal, PrincipalKind
from novacron_contract.errors import Unauthenticated, Unavailable
from novacron_store.state.audit import Audit, Caller, one_at_a_time
from novacron_store.state.credentials import digest, mint
from novacron_store.state.database import reading, writing
from novacron_store.state.granting import grants_of
from novacron_store.state.tables.access import sessions, users
from novacron_store.state.users import User

PREFIX = "nvs_"
MOST_OF_A_USER = 100  # a further one ends the one that was unused for longest
USED_EVERY = timedelta(minutes=1)  # use is written down no more often


@dataclass(frozen=True)
class Sessions:
    engine: Engine
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    idle: timedelta = timedelta(hours=12)
    lifetime: timedelta = timedelta(days=7)

    def begin(self, user: User, source: str) -> str:
        """The secret; it is told once, and not kept.

        Raises:
            Unauthenticated: the user was disabled or removed meanwhile.
        """
        secret, now = mint(PREFIX), self.now()
        kind = PrincipalKind.USER
        caller = Caller(Principal(kind, user.id, user.name, user.grants), source)
        with writing(self.engine) as connection:
            one_at_a_time(connection)
            _require_enabled(connection, user)
            self._end_old(connection, user, now)
            connection.execute(
                insert(sessions).values(
                    digest=digest(secret),
                    user_id=user.id,
                    created=now,
                    last_used=now,
                    source=source,
                )
            )
            entry = caller.entry("session.create", f"user:{user.name}")
            Audit(self.engine, self.now).record(connection, entry)
        return secret

    def end(self, by: Caller) -> None:
        """The caller's own."""
        with writing(self.engine) as connection:
            one_at_a_time(connection)
            connection.execute(delete(sessions).where(sessions.c.digest == by.digest))
            entry = by.entry("session.end", f"user:{by.principal.name}")
            Audit(self.engine, self.now).record(connection, entry)

    def principal(self, of_digest: str) -> Principal | None:
        """None: there is no such session, or no longer."""
        now = self.now()
        query = (
            select(sessions.c.last_used, users.c.id, users.c.name)
            .join(users, users.c.id == sessions.c.user_id)
            .where(sessions.c.digest == of_digest, users.c.disabled.is_(None))
            .where(sessions.c.last_used > now - self.idle)
            .where(sessions.c.created > now - self.lifetime)
        )
        with reading(self.engine) as connection:
            row = connection.execute(query).one_or_none()
            given = grants_of(connection, [row.id])[row.id] if row else ()
        if row is None:
            return None
        if now - row.last_used >= USED_EVERY:
            self._used(of_digest, now)
        return Principal(PrincipalKind.USER, row.id, row.name, given)

    def _used(self, of_digest: str, now: datetime) -> None:
        # Who may come in is not kept out by a database that takes no writes now.
        with suppress(Unavailable), writing(self.engine) as connection:
            connection.execute(
                update(sessions)
                .where(sessions.c.digest == of_digest, sessions.c.last_used < now)
                .values(last_used=now)
            )

    def _end_old(self, connection: Connection, user: User, now: datetime) -> None:
        old = (sessions.c.last_used <= now - self.idle) | (
            sessions.c.created <= now - self.lifetime
        )
        connection.execute(delete(sessions).where(old))
        too_many = (
            select(sessions.c.digest)
            .where(sessions.c.user_id == user.id)
            .order_by(sessions.c.last_used.desc())
            .offset(MOST_OF_A_USER - 1)
            .limit(1000)
        )
        digests = connection.execute(too_many).scalars().all()
        connection.execute(delete(sessions).where(sessions.c.digest.in_(digests)))


def _require_enabled(connection: Connection, user: User) -> None:
    query = select(users.c.id).where(users.c.id == user.id, users.c.disabled.is_(None))
    if connection.execute(query).first() is None:
        raise Unauthenticated("the name or the password is wrong")
