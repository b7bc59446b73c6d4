"""Which commands an agent is told of now."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, or_, select

from novacron_contract.commands import Order, State, Verb
from novacron_store.state.audit import Audit
from novacron_store.state.commands.changing import Change, changing
from novacron_store.state.commands.limits import FEW, Room, in_flight, room
from novacron_store.state.commands.machine import (
    Patience,
    deliver,
    lapse,
    lose,
    told_to_cancel,
    unfit,
)
from novacron_store.state.commands.records import Command, command
from novacron_store.state.commands.secrecy import whole_order
from novacron_store.state.database import reading
from novacron_store.state.tables.commands import commands

_MAX_TOLD = 256 * 1024  # bytes of specs, of new and of old ones each: agents take 1 MiB in all


@dataclass(frozen=True, slots=True)
class Asking:
    """An agent that waits for commands: its journal, and how many it would take."""

    instance: str
    most: int


@dataclass(frozen=True, slots=True)
class Told:
    orders: tuple[Order, ...] = ()
    cancelled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """`touched`: operations that changed."""

    told: Mapping[str, Told] = field(default_factory=dict)
    touched: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Dispatch:
    engine: Engine
    audit: Audit
    patience: Patience = field(default_factory=Patience)
    per_host: int = 8
    max_per_minute: int = 0

    def wanted(self, now: datetime) -> set[str]:
        """Agents that have something to be told."""
        with reading(self.engine) as connection:
            again = _agents(connection, *_due_again(now))
            return again | _agents(connection, *_first_of_each_vm(now, Room(None)))

    def strayed(self, instances: Mapping[str, str]) -> set[str]:
        """Agents that have commands in hand which another journal was told of."""
        with reading(self.engine) as connection:
            busy = in_flight(connection, instances)
        return {key for key, of in busy.items() if set(of) - {instances.get(key)}}

    def round(self, asking: Mapping[str, Asking], now: datetime) -> Round:
        """Tell these agents what there is for them: committed when this returns."""
        told: dict[str, Told] = {}
        with changing(self.engine, now, self.audit) as change:
            busy = in_flight(change.connection, asking)
            for identity in sorted(busy):
                if set(busy[identity]) - {asking[identity].instance}:
                    self._lose(change, identity, asking[identity])
            for identity in sorted(_agents(change.connection, *_due_again(now), among=asking)):
                again = self._again(change, identity, asking[identity])
                if again.orders or again.cancelled:
                    told[identity] = again
            left = room(change.connection, now, self.max_per_minute)
            free = {
                key: min(
                    of.most - len(told.get(key, Told()).orders),
                    self.per_host - busy.get(key, Counter[str]())[of.instance],
                )
                for key, of in asking.items()
            }
            for identity, orders in self._begin(change, asking, free, left):
                known = told.get(identity, Told())
                told[identity] = Told((*known.orders, *orders), known.cancelled)
        return Round(told, frozenset(change.touched))

    def _begin(
        self, change: Change, asking: Mapping[str, Asking], free: dict[str, int], left: Room
    ) -> Iterator[tuple[str, list[Order]]]:
        """As many as there is room for. When an operation has reached a limit, it is looked for
        once who still has others: not asked of every agent."""
        done: set[str] = set()
        while not left.is_none:
            left.refused = False
            first = _first_of_each_vm(change.now, left)
            waiting = _agents(change.connection, *first, among=asking)
            for identity in sorted(waiting - done):
                orders = self._fresh(change, identity, asking[identity], free[identity], left)
                free[identity] -= len(orders)
                if orders:
                    yield identity, orders
                if left.refused:
                    break
                done.add(identity)
            else:
                return

    def _lose(self, change: Change, identity: str, asking: Asking) -> None:
        """What an agent was told that has another journal now."""
        statement = select(commands).where(
            commands.c.ended.is_(None),
            commands.c.identity_id == identity,
            commands.c.instance.not_in(["", asking.instance]),
        )
        for old in _commands(change, statement):
            change.move(old, lose(old, change.now))

    def _again(self, change: Change, identity: str, asking: Asking) -> Told:
        """What was told and not accepted in time, and what is to be cancelled."""
        orders: list[Order] = []
        cancelled: list[str] = []
        statement = select(commands).where(
            *_due(change.now),
            commands.c.identity_id == identity,
            commands.c.state.in_([State.DELIVERED.value, State.ACCEPTED.value]),
            commands.c.instance == asking.instance,
        )
        for old in _commands(change, statement.limit(max(asking.most, 1))):
            if _weight(orders) > _MAX_TOLD:
                break
            if old.cancelling:
                cancelled.append(old.id)
            if old.state is State.DELIVERED:
                orders.append(_told_again(change, old))
                change.move(old, deliver(old, asking.instance, change.now, self.patience))
            else:
                change.move(old, told_to_cancel(old, change.now, self.patience))
        return Told(tuple(orders), tuple(cancelled))

    def _fresh(
        self, change: Change, identity: str, asking: Asking, places: int, left: Room
    ) -> list[Order]:
        orders: list[Order] = []
        if places <= 0:
            return orders
        mine = commands.c.identity_id == identity
        begun_first = (commands.c.place == 0, commands.c.operation_id, commands.c.place)
        first = select(commands).where(mine, *_first_of_each_vm(change.now, left))
        for old in _commands(change, first.order_by(*begun_first).limit(places)):
            if old.deadline is not None and old.deadline <= change.now:
                change.move(old, lapse(old, change.now))
                continue
            if _weight(orders) > _MAX_TOLD:
                break
            order = whole_order(change.connection, old, change.now)
            if order is None:
                change.move(old, unfit(old, change.now))
            elif left.take(old):
                orders.append(order)
                change.move(old, deliver(old, asking.instance, change.now, self.patience))
        change.save()  # what is looked for next is not to find these again
        return orders


def _weight(orders: Iterable[Order]) -> int:
    """Of their specs: what else is in an order is small."""
    specs = [one.arguments for one in orders if one.verb is Verb.CREATE]
    return sum(len(json.dumps(one, ensure_ascii=False).encode()) for one in specs)


def _told_again(change: Change, of: Command) -> Order:
    """Without its secrets it is only asked about: who never heard of it begins nothing."""
    whole = whole_order(change.connection, of, change.now)
    return replace(of.order(change.now), ttl_ms=0) if whole is None else whole


def _due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (commands.c.ended.is_(None), commands.c.turn <= now)


def _due_again(now: datetime) -> tuple[ColumnElement[bool], ...]:
    told = commands.c.state.in_([State.DELIVERED.value, State.ACCEPTED.value])
    return (*_due(now), told)


def _first_of_each_vm(now: datetime, left: Room) -> list[ColumnElement[bool]]:
    """The next of each VM: none of it is in hand, and none was asked for earlier; of operations
    that are not at a limit."""
    other = commands.alias("other")
    in_the_way = (
        select(other.c.id)
        .where(
            other.c.vm_id == commands.c.vm_id,
            other.c.ended.is_(None),
            other.c.id != commands.c.id,
            or_(
                other.c.state != State.QUEUED.value,
                other.c.operation_id < commands.c.operation_id,
                and_(
                    other.c.operation_id == commands.c.operation_id,
                    other.c.place < commands.c.place,
                ),
            ),
        )
        .exists()
    )
    which = [*_due(now), commands.c.state == State.QUEUED.value, ~in_the_way]
    unbegun, undelivered = left.full()
    if unbegun:
        of_others = commands.c.operation_id.not_in(unbegun)
        which.append(or_(commands.c.place > 0, of_others))
    if undelivered:
        which.append(commands.c.operation_id.not_in(undelivered))
    return which


def _agents(
    connection: Connection, *which: ColumnElement[bool], among: Collection[str] | None = None
) -> set[str]:
    """Whose commands these are."""
    found = select(commands.c.identity_id).where(*which).distinct()
    if among is not None and len(among) <= FEW:
        found = found.where(commands.c.identity_id.in_(list(among)))
    agents = set(connection.scalars(found))
    return agents if among is None else agents.intersection(among)


def _commands(change: Change, statement: Select[tuple[object]]) -> list[Command]:
    return [command(row) for row in change.connection.execute(statement).mappings().all()]
