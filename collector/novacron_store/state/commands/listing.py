"""Looking at operations and commands: pages of them, counts, versions. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, RowMapping, Table, func, select

from novacron_contract.commands import Verb
from novacron_contract.errors import NotFound
from novacron_store.state.commands.changing import chunks
from novacron_store.state.commands.population import Coming, coming
from novacron_store.state.commands.records import Command, Operation, command, operation
from novacron_store.state.database import reading
from novacron_store.state.tables.commands import command_events, commands, operations


@dataclass(frozen=True, slots=True)
class Event:
    at: datetime
    state: str
    text: str


@dataclass(frozen=True)
class Listing:
    engine: Engine

    def operations(
        self, limit: int, offset: int, state: str | None = None
    ) -> tuple[list[Operation], int]:
        """The newest first, and how many there are."""
        which = [] if state is None else [operations.c.state == state]
        rows, total = self._page(operations, which, limit, offset)
        return [operation(row) for row in rows], total

    def commands(self, limit: int, offset: int, **wanted: str | None) -> tuple[list[Command], int]:
        """The newest first; `wanted` are columns and their values."""
        which = [commands.c[name] == of for name, of in wanted.items() if of is not None]
        rows, total = self._page(commands, which, limit, offset)
        return [command(row) for row in rows], total

    def command(self, command_id: str) -> tuple[Command, list[Event]]:
        """One, and what happened to it.

        Raises:
            NotFound: there is none.
        """
        events = command_events.c
        history = (
            select(events.at, events.state, events.text)
            .where(events.command_id == command_id)
            .order_by(events.version)
        )
        with reading(self.engine) as connection:
            statement = select(commands).where(commands.c.id == command_id)
            row = connection.execute(statement).mappings().one_or_none()
            if row is None:
                raise NotFound(f"no command has the id {command_id[:80]!r}")
            return command(row), [Event(*one) for one in connection.execute(history)]

    def counts(self, operation_id: str) -> dict[str, int]:
        """Its commands by state."""
        statement = (
            select(commands.c.state, func.count())
            .where(commands.c.operation_id == operation_id)
            .group_by(commands.c.state)
        )
        with reading(self.engine) as connection:
            return {str(state): int(count) for state, count in connection.execute(statement)}

    def targets(self, operation_id: str) -> list[tuple[str, str]]:
        """Its VMs, each with its host."""
        statement = select(commands.c.vm_id, commands.c.host_id)
        statement = statement.where(commands.c.operation_id == operation_id).distinct()
        with reading(self.engine) as connection:
            return [(str(vm), str(host)) for vm, host in connection.execute(statement)]

    def coming(self, operation_id: str | None = None) -> list[Coming]:
        """VMs that are being made; or those of an operation, made or not."""
        which = commands.c.verb == Verb.CREATE.value
        if operation_id is None:
            which &= commands.c.ended.is_(None)
        else:
            which &= commands.c.operation_id == operation_id
        with reading(self.engine) as connection:
            rows = connection.execute(select(commands).where(which)).mappings()
            return [coming(command(row)) for row in rows]

    def some(self, ids: Iterable[str]) -> list[Operation]:
        found: list[Operation] = []
        with reading(self.engine) as connection:
            for chunk in chunks(ids):
                statement = select(operations).where(operations.c.id.in_(chunk))
                found += [operation(row) for row in connection.execute(statement).mappings()]
        return found

    def open_versions(self) -> dict[str, int]:
        """Of every operation that goes on."""
        statement = select(operations.c.id, operations.c.version)
        with reading(self.engine) as connection:
            rows = connection.execute(statement.where(operations.c.finished.is_(None)))
            return {str(key): int(version) for key, version in rows}

    def _page(
        self, table: Table, which: list[ColumnElement[bool]], limit: int, offset: int
    ) -> tuple[Sequence[RowMapping], int]:
        page = select(table).where(*which).order_by(table.c.id.desc()).limit(limit).offset(offset)
        count = select(func.count()).select_from(table).where(*which)
        with reading(self.engine) as connection:
            rows = connection.execute(page).mappings().all()
            return rows, int(connection.execute(count).scalar_one())
