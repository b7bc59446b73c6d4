"""Commands whose time is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, or_, select

from novacron_contract.commands import State
from novacron_store.state.audit import Audit
from novacron_store.state.commands.changing import changing
from novacron_store.state.commands.machine import lapse
from novacron_store.state.commands.records import command
from novacron_store.state.database import reading
from novacron_store.state.tables.commands import commands

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Lapsed:
    agents: frozenset[str] = frozenset()
    touched: frozenset[str] = frozenset()
    more: bool = False


@dataclass(frozen=True)
class Lapsing:
    engine: Engine
    audit: Audit

    def lapse(self, now: datetime, *, told_too: bool) -> Lapsed:
        """Close the record of those whose deadline is over. `told_too`: also of such as an agent
        may know more of; not while agents have not had the time to come back to us."""
        over = select(commands).where(commands.c.ended.is_(None), commands.c.deadline <= now)
        if not told_too:
            over = over.where(or_(commands.c.state == State.QUEUED.value))
        with reading(self.engine) as connection:
            if connection.execute(over.limit(1)).first() is None:
                return Lapsed()
        with changing(self.engine, now, self.audit) as change:
            rows = change.connection.execute(over.limit(_AT_ONCE)).mappings().all()
            for row in rows:
                old = command(row)
                change.move(old, lapse(old, now))
        more = len(rows) == _AT_ONCE
        return Lapsed(frozenset(change.agents), frozenset(change.touched), more)
