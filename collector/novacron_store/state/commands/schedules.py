"""Operations that are to be asked for later, or again and again."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, RowMapping, delete, func, insert, select, update

from novacron_contract.access import Grant, Role, scope
from novacron_contract.errors import NotFound, TooMany
from novacron_store.state.audit import Audit, Entry
from novacron_store.state.database import reading, writing
from novacron_store.state.tables.commands import schedules

MAX_SCHEDULES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`cron` empty: once. `limit`: grants of the token it was made with, None: it was none.
    `next_run` None: never again."""

    id: str
    name: str
    owner_id: str
    owner_name: str
    limit: list[dict[str, str]] | None = None
    created: datetime
    body: dict[str, Any]
    cron: str = ""
    zone: str = "UTC"
    paused: bool = False
    next_run: datetime | None
    last_run: datetime | None = None
    last_operation: str = ""
    problem: str = ""
    runs: int = 0
    skipped: int = 0

    def grants(self) -> tuple[Grant, ...] | None:
        if self.limit is None:
            return None
        return tuple(Grant(Role(one["role"]), scope(one["scope"])) for one in self.limit)


_NAMES = tuple(one.name for one in fields(Schedule))


@dataclass(frozen=True)
class Schedules:
    engine: Engine
    audit: Audit

    def add(self, new: Schedule, asked: Entry) -> None:
        """
        Raises:
            TooMany: there are as many as may be.
        """
        with writing(self.engine) as connection:
            count = select(func.count()).select_from(schedules)
            if connection.execute(count).scalar_one() >= MAX_SCHEDULES:
                raise TooMany(f"there are {MAX_SCHEDULES} schedules: delete some first")
            connection.execute(insert(schedules), [_row(new)])
            self.audit.record(connection, asked)

    def all(self) -> list[Schedule]:
        with reading(self.engine) as connection:
            rows = connection.execute(select(schedules).order_by(schedules.c.id)).mappings()
            return [_schedule(row) for row in rows]

    def one(self, schedule_id: str) -> Schedule:
        """
        Raises:
            NotFound: there is none.
        """
        statement = select(schedules).where(schedules.c.id == schedule_id)
        with reading(self.engine) as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise NotFound(f"no schedule has the id {schedule_id[:80]!r}")
        return _schedule(row)

    def due(self, now: datetime) -> list[Schedule]:
        statement = select(schedules).where(schedules.c.next_run <= now, schedules.c.paused == 0)
        statement = statement.order_by(schedules.c.next_run, schedules.c.id)
        with reading(self.engine) as connection:
            return [_schedule(row) for row in connection.execute(statement).mappings()]

    def ran(self, before: Schedule, after: Schedule, noted: Entry | None = None) -> bool:
        """Write what came of a run, unless somebody else did or changed the schedule meanwhile."""
        same = (schedules.c.id == before.id) & (schedules.c.next_run == before.next_run)
        with writing(self.engine) as connection:
            values = {**_row(after), "paused": schedules.c.paused}
            done = connection.execute(update(schedules).where(same).values(values)).rowcount
            if done and noted is not None:
                self.audit.record(connection, noted)
        return bool(done)

    def pause(
        self, schedule_id: str, paused: bool, next_run: datetime | None, asked: Entry
    ) -> Schedule:
        old = self.one(schedule_id)
        new = replace(old, paused=paused, next_run=next_run)
        with writing(self.engine) as connection:
            values = {"paused": int(paused), "next_run": next_run}
            connection.execute(
                update(schedules).where(schedules.c.id == schedule_id).values(values)
            )
            self.audit.record(connection, asked)
        return new

    def delete(self, schedule_id: str, asked: Entry) -> None:
        with writing(self.engine) as connection:
            if not connection.execute(
                delete(schedules).where(schedules.c.id == schedule_id)
            ).rowcount:
                raise NotFound(f"no schedule has the id {schedule_id[:80]!r}")
            self.audit.record(connection, asked)


def _row(of: Schedule) -> dict[str, Any]:
    return {name: getattr(of, name) for name in _NAMES} | {"paused": int(of.paused)}


def _schedule(row: RowMapping) -> Schedule:
    return Schedule(**{**row, "paused": bool(row["paused"])})
