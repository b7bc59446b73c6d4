"""Tokens of senders that are no agents of ours: they may send metrics, and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, RowMapping, insert, select, update

from novacron_contract.errors import Conflict, NotFound
from novacron_store.state.audit import Audit, Caller
from novacron_store.state.credentials import digest, mint
from novacron_store.state.database import reading, writing
from novacron_store.state.enrolment_changes import last_change, next_change
from novacron_store.state.tables.enrolment import ingest_tokens

PREFIX = "nci_"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestToken:
    id: str
    name: str
    created: datetime
    created_by: str
    expires: datetime | None
    revoked: datetime | None = None
    last_used: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return self.revoked is None and (self.expires is None or self.expires > now)


@dataclass(frozen=True)
class IngestTokens:
    engine: Engine

    def create(
        self, name: str, caller: Caller, now: datetime, expires: datetime | None
    ) -> tuple[IngestToken, str]:
        """The token, and its secret, which is nowhere else from now on."""
        secret = mint(PREFIX)
        token = IngestToken(
            id=str(uuid.uuid4()),
            name=name,
            created=now,
            created_by=caller.principal.name,
            expires=expires,
        )
        row = {column: getattr(token, column) for column in IngestToken.__slots__}
        with writing(self.engine) as connection:
            change = next_change(connection)
            values = {**row, "hash": digest(secret), "change": change}
            connection.execute(insert(ingest_tokens).values(values))
            made = caller.entry("ingest-token.create", f"token:{token.id}", name=name)
            Audit(self.engine).record(connection, made)
        return token, secret

    def all(self) -> list[IngestToken]:
        """The newest first, those that do not hold any more as well."""
        order = ingest_tokens.c.created.desc(), ingest_tokens.c.id
        with reading(self.engine) as connection:
            rows = connection.execute(select(ingest_tokens).order_by(*order)).mappings()
            return [_token(row) for row in rows]

    def revoke(self, token_id: str, now: datetime, caller: Caller) -> IngestToken:
        """
        Raises:
            NotFound: there is none.
            Conflict: it is revoked already.
        """
        of = ingest_tokens.c
        with writing(self.engine) as connection:
            change = next_change(connection)
            row = connection.execute(select(ingest_tokens).where(of.id == token_id)).mappings()
            found = row.one_or_none()
            if found is None:
                raise NotFound(f"no ingest token has the id {token_id[:80]!r}")
            if found["revoked"] is not None:
                raise Conflict(f"the ingest token {token_id} is revoked already")
            end = update(ingest_tokens).where(of.id == token_id)
            connection.execute(end.values(revoked=now, change=change))
            entry = caller.entry("ingest-token.revoke", f"token:{token_id}", name=found["name"])
            Audit(self.engine).record(connection, entry)
            return _token({**found, "revoked": now})

    def used(self, at: Mapping[str, datetime]) -> None:
        """When tokens were used last, by their ids."""
        of = ingest_tokens.c
        with writing(self.engine) as connection:
            for token_id, moment in sorted(at.items()):
                mark = update(ingest_tokens).where(of.id == token_id)
                connection.execute(mark.values(last_used=moment))

    def since(self, number: int) -> tuple[int, Sequence[tuple[str, IngestToken]]]:
        """What changed after `number`, as hashes and tokens, and the number to ask with next."""
        with reading(self.engine) as connection:
            newest = last_change(connection)
            if newest == number:
                return number, ()
            asked = select(ingest_tokens).where(ingest_tokens.c.change > number)
            rows = connection.execute(asked).mappings().all()
        return newest, [(row["hash"], _token(row)) for row in rows]


def _token(row: RowMapping | Mapping[str, object]) -> IngestToken:
    left_out = ("hash", "change")
    return IngestToken(**{name: value for name, value in row.items() if name not in left_out})  # type: ignore[arg-type]
