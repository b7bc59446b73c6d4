"""Many commands at once that nobody was told of: cancelled by two statements, however many."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, insert, literal, select, update

from novacron_contract.commands import State
from novacron_store.state.tables.columns import Text, UtcTime
from novacron_store.state.tables.commands import command_events, commands


def cancel_queued(connection: Connection, operation_id: str, now: datetime) -> tuple[int, set[str]]:
    """All of them but what undoes; the number, and whose agents may have had to do with it."""
    return _cancel(connection, _queued(operation_id), now)


def cancel_unbegun(
    connection: Connection, operation_id: str, now: datetime
) -> tuple[int, set[str]]:
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


def _cancel(
    connection: Connection, which: ColumnElement[bool], now: datetime
) -> tuple[int, set[str]]:
    agents = set(connection.scalars(select(commands.c.identity_id).where(which).distinct()))
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
    done = connection.execute(
        update(commands)
        .where(which)
        .values(state=State.CANCELLED.value, version=version, ended=now, ready=0, turn=None)
    )
    return done.rowcount, agents
