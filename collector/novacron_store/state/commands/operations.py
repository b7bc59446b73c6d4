"""What people asked for: added, found, cancelled, forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from novacron_contract.commands import VERBS, State, Verb
from novacron_contract.errors import Conflict, NotFound, TooMany
from novacron_store.state.audit import Audit, Entry
from novacron_store.state.commands.changing import Change, changing, chunks
from novacron_store.state.commands.identifiers import new_id
from novacron_store.state.commands.machine import cancel, make_ready
from novacron_store.state.commands.records import (
    Command,
    Operation,
    Place,
    command,
    operation,
    operation_row,
)
from novacron_store.state.commands.secrecy import Secrets, drop, keep
from novacron_store.state.database import reading, writing
from novacron_store.state.tables.commands import command_events, commands, operations

MAX_OPEN = 1000
_CANCELLED = "cancelled by "
KEPT_AT_LEAST = timedelta(days=7)  # with their idempotency keys


@dataclass(frozen=True, slots=True)
class Added:
    """`agents`: those that have something to do now. `is_new`: it was not there by its key."""

    operation: Operation
    agents: frozenset[str]
    is_new: bool = True


@dataclass(frozen=True)
class Operations:
    engine: Engine
    audit: Audit

    def repeated(self, issuer_id: str, key: str | None, body_hash: str) -> Operation | None:
        """The one that was asked for with that key.

        Raises:
            Conflict: it was something else.
        """
        if key is None:
            return None
        with reading(self.engine) as connection:
            return _repeated(connection, issuer_id, key, body_hash)

    def add(
        self,
        new: Operation,
        places: Sequence[Place],
        timeout_s: float | None,
        asked: Entry,
        now: datetime,
        secrets: Secrets = MappingProxyType({}),
    ) -> Added:
        """Committed when this returns. `timeout_s` None: that of each verb. `secrets`: what the
        steps leave out of their arguments.

        Raises:
            Conflict: its idempotency key was used for something else, or a VM of that name is
                being made on the same host.
            TooMany: there are as many open ones as may be.
        """
        with changing(self.engine, now, self.audit) as change:
            connection = change.connection
            if new.idempotency_key is not None and (
                known := _repeated(connection, new.issuer_id, new.idempotency_key, new.body_hash)
            ):
                return Added(known, frozenset(), is_new=False)
            _require_room(connection)
            if new.steps[0].verb is Verb.CREATE:
                _require_unused(connection, places)
            every = [one for place in places for one in _line(new, place, timeout_s, now)]
            connection.execute(insert(operations), [operation_row(replace(new, total=0))])
            keep(connection, new.id, secrets)
            change.add(every)
            change.entries.append(asked)
        return Added(self.one(new.id), frozenset(change.agents))

    def one(self, operation_id: str) -> Operation:
        """
        Raises:
            NotFound: there is none.
        """
        with reading(self.engine) as connection:
            return _one(connection, operation_id)

    def cancel(self, operation_id: str, asked: Entry, now: datetime) -> Added:
        """Begin nothing more of it: done again it changes nothing.

        Raises:
            NotFound: there is none.
        """
        with changing(self.engine, now, self.audit) as change:
            connection = change.connection
            of = _one(connection, operation_id)
            # One that failures have stopped goes on with what has begun: that can be cancelled.
            if of.finished is None and not of.problem.startswith(_CANCELLED):
                problem = f"{_CANCELLED}{asked.actor.name}"
                connection.execute(
                    update(operations)
                    .where(operations.c.id == of.id)
                    .values(stopping=1, problem=problem)
                )
                change.stop(of, begun_too=True)
                _ask_to_cancel(change, of)
                change.entries.append(asked)
        return Added(self.one(operation_id), frozenset(change.agents))

    def forget(self, before: datetime) -> int:
        """Those that ended before, with all that belongs to them; some at a time."""
        with reading(self.engine) as connection:
            statement = select(operations.c.id).where(operations.c.finished < before).limit(50)
            ids = list(connection.scalars(statement))
        for operation_id in ids:
            of_it = select(commands.c.id).where(commands.c.operation_id == operation_id)
            with writing(self.engine) as connection:
                connection.execute(
                    delete(command_events).where(command_events.c.command_id.in_(of_it))
                )
                connection.execute(delete(commands).where(commands.c.operation_id == operation_id))
                drop(connection, operation_id)
                connection.execute(delete(operations).where(operations.c.id == operation_id))
        return len(ids)


def _line(of: Operation, place: Place, timeout_s: float | None, now: datetime) -> list[Command]:
    """The commands for one VM. Only the first looks at the state it is expected in."""
    line = [
        Command(
            id=new_id(now),
            operation_id=of.id,
            place=number,
            step=number,
            vm_id=place.vm_id,
            vm_name=place.vm_name,
            host_id=place.host_id,
            identity_id=place.identity_id,
            verb=step.verb,
            arguments={**step.arguments, **(place.own if number == 0 else {})},
            expect=of.expect if number == 0 else (),
            ttl_s=of.ttl_s,
            timeout_s=timeout_s or VERBS[step.verb].timeout_s,
            created=now,
        )
        for number, step in enumerate(of.steps)
    ]
    return [make_ready(line[0], now), *line[1:]]


def _ask_to_cancel(change: Change, of: Operation) -> None:
    told = [State.DELIVERED.value, State.ACCEPTED.value]
    asked = select(commands).where(
        commands.c.operation_id == of.id,
        commands.c.ended.is_(None),
        commands.c.state.in_(told),
        commands.c.undoes == 0,  # a VM is not left half-way
    )
    for row in change.connection.execute(asked).mappings().all():
        old = command(row)
        change.move(old, cancel(old, change.now))
    if len(of.steps) > 1:
        done = (
            select(commands.c.vm_id)
            .where(commands.c.operation_id == of.id, commands.c.state == State.SUCCEEDED.value)
            .distinct()
        )
        change.follow(of, change.connection.scalars(done).all())


def _one(connection: Connection, operation_id: str) -> Operation:
    statement = select(operations).where(operations.c.id == operation_id)
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise NotFound(f"no operation has the id {operation_id[:80]!r}")
    return operation(row)


def _repeated(connection: Connection, issuer_id: str, key: str, body_hash: str) -> Operation | None:
    statement = select(operations).where(
        operations.c.issuer_id == issuer_id, operations.c.idempotency_key == key
    )
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        return None
    known = operation(row)
    if known.body_hash != body_hash:
        raise Conflict(
            f"the Idempotency-Key {key!r} was used for something else, the operation {known.id}: "
            "use a new one"
        )
    return known


def _require_unused(connection: Connection, places: Sequence[Place]) -> None:
    """What is in the inventory was looked at before: here those that are on their way."""
    statement = select(commands.c.host_id, commands.c.vm_name).where(
        commands.c.ended.is_(None), commands.c.verb == Verb.CREATE.value
    )
    under_way = {(str(host), str(name)) for host, name in connection.execute(statement)}
    for place in places:
        if (place.host_id, place.vm_name) in under_way:
            raise Conflict(f"{place.vm_name}: a VM of that name is being made on its host already")


def _require_room(connection: Connection) -> None:
    count = select(func.count()).select_from(operations).where(operations.c.finished.is_(None))
    if connection.execute(count).scalar_one() >= MAX_OPEN:
        raise TooMany(f"{MAX_OPEN} operations are under way: wait for some to end, or cancel them")


def summary(of: Operation) -> dict[str, Any]:
    """What changes while it goes on."""
    return {
        "id": of.id,
        "state": of.state.value,
        "version": of.version,
        "total": of.total,
        "ended": of.ended,
        "succeeded": of.succeeded,
        "failures": of.failures,
    }


__all__ = ["KEPT_AT_LEAST", "MAX_OPEN", "Added", "Operations", "chunks", "summary"]
