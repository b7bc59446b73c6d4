"""Many commands at once that nobody was told of: cancelled by a few statements, however many."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, insert, literal, select, update

from novacron_contract.commands import State
from novacron_store.state.commands.records import Command, command
from novacron_store.state.tables.columns import Text, UtcTime
from novacron_store.state.tables.commands import command_events, commands


def cancel_queued(connection: Connection, operation_id: str, now: datetime) -> list[Command]:
    """All of them but what undoes, as they are now."""
    return _cancel(connection, _queued(operation_id), now)


def cancel_unbegun(connection: Connection, operation_id: str, now: datetime) -> list[Command]:
    """Those of VMs of which nothing has begun."""
    first = commands.alias()
    unbegun = select(first.c.vm_id).where(
        first.c.operation_id == operation_id,
        first.c.place == 0,
        first.c.state == State.QUEUED.value,
    )
    return _cancel(connection, and_(_queued(operation_id), commands.c.vm_id.in_(unbegun)), now)


def _queued(operation_id: str) -> ColumnElement[bool]:
    return and_(
        commands.c.operation_id == operation_id,
        commands.c.state == State.QUEUED.value,
        commands.c.undoes == 0,
    )


def _cancel(connection: Connection, which: ColumnElement[bool], now: datetime) -> list[Command]:
    rows = connection.execute(select(commands).where(which)).mappings()
    cancelled = [
        replace(
            command(row),
            state=State.CANCELLED,
            version=row["version"] + 1,
            ended=now,
            ready=False,
            turn=None,
        )
        for row in rows
    ]
    version = commands.c.version + 1
    events = select(
        commands.c.id,
        version,
        literal(now, UtcTime),
        literal(State.CANCELLED.value, Text),
        literal("", Text),
    ).where(which)
    connection.execute(
        insert(command_events).from_select(["command_id", "version", "at", "state", "text"], events)
    )
    connection.execute(
        update(commands)
        .where(which)
        .values(state=State.CANCELLED.value, version=version, ended=now, ready=0, turn=None)
    )
    return cancelled
