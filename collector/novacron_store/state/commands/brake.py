"""The brake: while it is on, no command is delivered. What was delivered goes on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, insert, select

from novacron_store.state.audit import Audit, Entry
from novacron_store.state.commands.locking import one_after_another
from novacron_store.state.database import reading, writing
from novacron_store.state.tables.commands import brakes

_ID = "fleet"


@dataclass(frozen=True, slots=True)
class Brake:
    held: bool
    since: datetime | None = None
    by: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Brakes:
    engine: Engine
    audit: Audit

    def now(self) -> Brake:
        with reading(self.engine) as connection:
            return brake(connection)

    def set(self, new: Brake, asked: Entry) -> Brake:
        with writing(self.engine) as connection:
            one_after_another(connection)  # no round under way delivers after this
            connection.execute(delete(brakes))
            row = {"held": int(new.held), "since": new.since, "by": new.by, "reason": new.reason}
            connection.execute(insert(brakes), [{"id": _ID, **row}])
            self.audit.record(connection, asked)
        return new


def brake(connection: Connection) -> Brake:
    row = connection.execute(select(brakes).where(brakes.c.id == _ID)).mappings().one_or_none()
    if row is None:
        return Brake(False)
    return Brake(bool(row["held"]), row["since"], row["by"], row["reason"])
