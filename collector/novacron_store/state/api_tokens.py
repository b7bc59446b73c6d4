"""API tokens: what a program holds that acts for a user, with the user's rights or fewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from novacron_contract.access import Grant, Principal, PrincipalKind, Role, scope
from novacron_contract.errors import Conflict, NotFound, Unavailable
from novacron_store.state.audit import Audit, Caller, one_at_a_time
from novacron_store.state.credentials import digest, mint
from novacron_store.state.database import reading, writing
from novacron_store.state.granting import grants_of, written
from novacron_store.state.sessions import USED_EVERY
from novacron_store.state.tables.access import api_tokens, users

PREFIX = "nct_"
MOST_OF_A_USER = 100
_SHOWN = 8  # characters: enough to know it again, too few to use


@dataclass(frozen=True, slots=True)
class ApiToken:
    """`grants` is the most that it may; None: all that its user may."""

    id: str
    user: str
    name: str
    shown: str
    grants: tuple[Grant, ...] | None
    created: datetime
    expires: datetime | None
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class NewToken:
    name: str
    grants: tuple[Grant, ...] | None = None
    expires: datetime | None = None


@dataclass(frozen=True)
class ApiTokens:
    engine: Engine
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def create(self, new: NewToken, by: Caller) -> tuple[ApiToken, str]:
        """For the caller; with the secret, which is told once and not kept.

        Raises:
            Conflict: the caller has too many.
            NotFound: the caller is gone by now.
        """
        secret, user = mint(PREFIX), by.principal
        token = ApiToken(
            *(str(uuid4()), user.name, new.name, secret[:_SHOWN]),
            *(new.grants, self.now(), new.expires, None),
        )
        with writing(self.engine) as connection:
            one_at_a_time(connection)
            _require_room(connection, user.id)
            connection.execute(insert(api_tokens).values(**_row(token, digest(secret), user.id)))
            entry = by.entry("token.create", f"token:{token.id}", name=token.name,
                             grants=_written(token.grants), expires=token.expires)  # fmt: skip
            Audit(self.engine, self.now).record(connection, entry)
        return token, secret

    def all(self, user_id: str | None = None) -> list[ApiToken]:
        """Of one user, or of all; the newest first."""
        query = select(api_tokens, users.c.name.label("user")).join(
            users, users.c.id == api_tokens.c.user_id
        )
        if user_id is not None:
            query = query.where(api_tokens.c.user_id == user_id)
        ordered = query.order_by(api_tokens.c.created.desc(), api_tokens.c.id)
        with reading(self.engine) as connection:
            return [_token(row) for row in connection.execute(ordered).mappings()]

    def revoke(self, token_id: str, by: Caller, *, of_user: str | None = None) -> None:
        """`of_user`: only if it is that one's.

        Raises:
            NotFound: there is no such token, or it is another's.
        """
        mine = api_tokens.c.id == token_id
        if of_user is not None:
            mine &= api_tokens.c.user_id == of_user
        with writing(self.engine) as connection:
            one_at_a_time(connection)
            if connection.execute(delete(api_tokens).where(mine)).rowcount == 0:
                raise NotFound(f"no token has the id {token_id[:80]!r}")
            entry = by.entry("token.revoke", f"token:{token_id}")
            Audit(self.engine, self.now).record(connection, entry)

    def principal(self, of_digest: str) -> Principal | None:
        """None: there is no such token, or no longer."""
        now = self.now()
        query = (
            select(api_tokens, users.c.name.label("user"))
            .join(users, users.c.id == api_tokens.c.user_id)
            .where(api_tokens.c.digest == of_digest, users.c.disabled.is_(None))
            .where(api_tokens.c.expires.is_(None) | (api_tokens.c.expires > now))
        )
        with reading(self.engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
            given = grants_of(connection, [row["user_id"]])[row["user_id"]] if row else ()
        if row is None:
            return None
        if row["last_used"] is None or now - row["last_used"] >= USED_EVERY:
            self._used(row["id"], now)
        user_id, limit = row["user_id"], _read(row["grants"])
        return Principal(PrincipalKind.TOKEN, user_id, row["user"], given, limit, row["id"])

    def _used(self, token_id: str, now: datetime) -> None:
        used = api_tokens.c.last_used
        # Who may come in is not kept out by a database that takes no writes now.
        with suppress(Unavailable), writing(self.engine) as connection:
            connection.execute(
                update(api_tokens)
                .where(api_tokens.c.id == token_id, used.is_(None) | (used < now))
                .values(last_used=now)
            )


def _require_room(connection: Connection, user_id: str) -> None:
    user = select(users.c.id).where(users.c.id == user_id, users.c.disabled.is_(None))
    if connection.execute(user).first() is None:
        raise NotFound("the user is gone")
    query = select(func.count()).select_from(api_tokens).where(api_tokens.c.user_id == user_id)
    count = connection.execute(query).scalar_one()
    if count >= MOST_OF_A_USER:
        raise Conflict(f"you have {count} tokens: revoke one first")


def _row(token: ApiToken, of_digest: str, user_id: str) -> dict[str, Any]:
    return {
        "id": token.id,
        "digest": of_digest,
        "user_id": user_id,
        "name": token.name,
        "shown": token.shown,
        "grants": _written(token.grants),
        "created": token.created,
        "expires": token.expires,
        "last_used": None,
    }


def _token(row: Any) -> ApiToken:
    names = ("id", "user", "name", "shown", "created", "expires", "last_used")
    return ApiToken(grants=_read(row["grants"]), **{name: row[name] for name in names})


def _written(given: Sequence[Grant] | None) -> list[str] | None:
    return None if given is None else written(given)


def _read(written: list[str] | None) -> tuple[Grant, ...] | None:
    if written is None:
        return None
    parts = [of.partition(" ") for of in written]
    return tuple(Grant(Role(role), scope(of)) for role, _, of in parts)
