"""Tokens by which agents join: for a while, a number of times."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select, update

from novacron_contract.errors import NotFound, Unauthenticated
from novacron_store.state.audit import Audit, Caller
from novacron_store.state.credentials import digest, mint
from novacron_store.state.database import reading, writing
from novacron_store.state.tables.enrolment import join_tokens

PREFIX = "nvj_"


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    id: str
    name: str
    created: datetime
    created_by: str
    expires: datetime
    uses: int
    max_uses: int


@dataclass(frozen=True)
class JoinTokens:
    engine: Engine

    def create(
        self,
        name: str,
        caller: Caller,
        now: datetime,
        expires: datetime,
        max_uses: int,
    ) -> tuple[JoinToken, str]:
        """The token, and its secret, which is nowhere else from now on."""
        secret = mint(PREFIX)
        token = JoinToken(
            id=str(uuid.uuid4()),
            name=name,
            created=now,
            created_by=caller.principal.name,
            expires=expires,
            uses=0,
            max_uses=max_uses,
        )
        row = {column: getattr(token, column) for column in JoinToken.__slots__}
        with writing(self.engine) as connection:
            connection.execute(insert(join_tokens).values(**row, hash=digest(secret)))
            made = caller.entry("agent.invite", f"token:{token.id}", uses=max_uses, expires=expires)
            Audit(self.engine).record(connection, made)
        return token, secret

    def all(self) -> list[JoinToken]:
        """The newest first, those that are used up or expired as well."""
        order = join_tokens.c.created.desc(), join_tokens.c.id
        with reading(self.engine) as connection:
            rows = connection.execute(select(join_tokens).order_by(*order)).mappings()
            return [_token(row) for row in rows]

    def delete(self, token_id: str, caller: Caller) -> None:
        """
        Raises:
            NotFound: there is none.
        """
        with writing(self.engine) as connection:
            gone = connection.execute(delete(join_tokens).where(join_tokens.c.id == token_id))
            if not gone.rowcount:
                raise NotFound(f"no join token has the id {token_id[:80]!r}")
            entry = caller.entry("join-token.delete", f"token:{token_id}")
            Audit(self.engine).record(connection, entry)

    def check(self, secret: str, now: datetime) -> JoinToken:
        """
        Raises:
            Unauthenticated: it is none, expired or used up.
        """
        with reading(self.engine) as connection:
            token = _find(connection, digest(secret))
        return _usable(token, now)


def use(connection: Connection, token_hash: str, now: datetime) -> None:
    """One use of the token, in the transaction of what it is used for.

    Raises:
        Unauthenticated: it is none, expired or used up.
    """
    of = join_tokens.c
    left = (of.hash == token_hash) & (of.expires > now) & (of.uses < of.max_uses)
    counted = update(join_tokens).where(left).values(uses=of.uses + 1)
    if connection.execute(counted).rowcount == 0:
        _usable(_find(connection, token_hash), now)
        raise Unauthenticated(_NONE)


def _usable(token: JoinToken | None, now: datetime) -> JoinToken:
    if token is None:
        raise Unauthenticated(_NONE)
    if token.expires <= now:
        raise Unauthenticated(f"this join token has expired: {_ANOTHER}")
    if token.uses >= token.max_uses:
        raise Unauthenticated(f"this join token is used up: {_ANOTHER}")
    return token


_ANOTHER = "`novacron agent invite` makes another"
_NONE = f"this join token is unknown, or was deleted: {_ANOTHER}"


def _find(connection: Connection, token_hash: str) -> JoinToken | None:
    asked = select(join_tokens).where(join_tokens.c.hash == token_hash)
    row = connection.execute(asked).mappings().one_or_none()
    return None if row is None else _token(row)


def _token(row: RowMapping) -> JoinToken:
    return JoinToken(**{name: value for name, value in row.items() if name != "hash"})
