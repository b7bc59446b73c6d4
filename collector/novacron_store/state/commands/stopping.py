"""Many commands at once that nobody was told of: cancelled by a few statements, however many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, insert, literal, select, update

from novacron_contract.commands import State
from novacron_store.state.commands.records import Command, command
from novacron_store.state.tables.columns import Text, UtcTime
from novacron_store.state.tables.commands import command_events, commands

_FEW = 500


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`agents` may have had to do with it. `few`: the commands themselves, unless they are many."""

    number: int
    agents: frozenset[str]
    few: Sequence[Command]


def cancel_queued(connection: Connection, operation_id: str, now: datetime) -> Cancelled:
    """All of them but what undoes."""
    return _cancel(connection, _queued(operation_id), now)


def cancel_unbegun(connection: Connection, operation_id: str, now: datetime) -> Cancelled:
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


def _cancel(connection: Connection, which: ColumnElement[bool], now: datetime) -> Cancelled:
    agents = frozenset(connection.scalars(select(commands.c.identity_id).where(which).distinct()))
    rows = connection.execute(select(commands).where(which).limit(_FEW + 1)).mappings().all()
    few = [replace(command(row), state=State.CANCELLED, ended=now) for row in rows]
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
    return Cancelled(done.rowcount, agents, few if len(few) <= _FEW else ())
