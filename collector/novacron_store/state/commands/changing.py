"""A change of commands: one transaction, in which every consequence is drawn.

Changes come one after another, on PostgreSQL as on SQLite: counts and limits (how many at a time,
how many per minute) hold over several collectors. They are short, and gathered where many come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, bindparam, insert, select, update

from novacron_contract.access import Principal
from novacron_contract.commands import State
from novacron_contract.errors import Unavailable
from novacron_store.state.audit import Audit, Entry
from novacron_store.state.commands.advancing import advance
from novacron_store.state.commands.locking import one_after_another
from novacron_store.state.commands.noting import end_of, ends_of
from novacron_store.state.commands.population import changes_population, settle
from novacron_store.state.commands.records import (
    MUTABLE,
    Command,
    Operation,
    Stage,
    command,
    command_row,
    operation,
)
from novacron_store.state.commands.secrecy import drop
from novacron_store.state.commands.stopping import cancel_queued, cancel_unbegun
from novacron_store.state.database import writing
from novacron_store.state.tables.commands import command_events, commands, operations

_CHUNK = 500
T = TypeVar("T")

_SAVE = (
    update(commands)
    .where(commands.c.id == bindparam("key"), commands.c.version == bindparam("known"))
    .values({name: bindparam(name) for name in MUTABLE})
)
_SAVE_OPERATION = (
    update(operations)
    .where(operations.c.id == bindparam("key"))
    .values(
        {
            name: bindparam(name)
            for name in (
                *("version", "total", "ended", "succeeded", "failures"),
                *("finished", "state", "stopping", "problem"),
            )
        }
    )
)


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


@dataclass(slots=True)
class Tally:
    """What became of an operation's commands in a change."""

    total: int = 0
    ended: int = 0
    succeeded: int = 0
    failures: int = 0
    vms: set[str] = field(default_factory=set)  # of which some command ended


@dataclass(slots=True)
class Change:
    """`touched`: operations that are not what they were; `agents`: those of whom something may be
    wanted now."""

    connection: Connection
    now: datetime
    audit: Audit
    touched: set[str] = field(default_factory=set)
    entries: list[Entry] = field(default_factory=list)  # for the audit
    came_or_went: list[Command] = field(default_factory=list)  # VMs, by these
    agents: set[str] = field(default_factory=set)
    _moved: dict[str, tuple[int, Command]] = field(default_factory=dict)
    _events: list[dict[str, Any]] = field(default_factory=list)
    _tallies: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def move(self, old: Command, new: Command, by: Principal | None = None) -> None:
        """`by`: who said so; None: NovaCron decided it."""
        if new is old:
            return
        known = self._moved[old.id][0] if old.id in self._moved else old.version
        self._moved[old.id] = (known, new)
        tally = self._tallies[new.operation_id]
        if new.state is not old.state or new.late != old.late:
            self._event(new)
        if new.turn is not None and new.turn <= self.now:
            self.agents.add(new.identity_id)
        if changes_population(old, new):
            self.came_or_went.append(new)
        if new.state.is_final and not old.state.is_final:
            self.agents.add(new.identity_id)  # there is room for another
            _count(tally, new)
            self.entries.append(end_of(new, by))

    def add(self, new: Sequence[Command]) -> None:
        for chunk in chunks(new):
            self.connection.execute(insert(commands), [command_row(one) for one in chunk])
        for one in new:
            self._event(one)
            self._tallies[one.operation_id].total += 1
            if one.ready:
                self.agents.add(one.identity_id)

    def touch(self, operation_id: str) -> None:
        self._tallies[operation_id]

    def settle(self) -> None:
        """Write everything, and what follows from it, until nothing does."""
        while self._moved or self._tallies:
            self.save()
            tallies, self._tallies = self._tallies, defaultdict(Tally)
            self.touched.update(tallies)
            for found in self._operations(tallies):
                self._count_in(found, tallies[found.id])
        self._write_events()
        for chunk in chunks(self.came_or_went):
            settle(self.connection, chunk, self.now)
        if self.entries:
            self.audit.record(self.connection, *self.entries)

    def stop(self, of: Operation, *, begun_too: bool) -> None:
        """Begin nothing more of it; with `begun_too` no later step of a VM under way either."""
        cancel = cancel_queued if begun_too else cancel_unbegun
        done = cancel(self.connection, of.id, self.now)
        self.agents |= done.agents
        self.entries += ends_of(of.id, done)
        self._tallies[of.id].ended += done.number

    # -- consequences ---------------------------------------------------------------------------

    def save(self) -> None:
        """What moved so far; what follows from it is for `settle`."""
        moved, self._moved = self._moved, {}
        rows = [
            {**command_row(new, MUTABLE), "key": key, "known": known}
            for key, (known, new) in sorted(moved.items())
        ]
        if rows and self.connection.execute(_SAVE, rows).rowcount != len(rows):
            raise Unavailable("a command was changed by another program meanwhile: try again")

    def _operations(self, ids: Iterable[str]) -> list[Operation]:
        found: list[Operation] = []
        for chunk in chunks(sorted(ids)):
            statement = select(operations).where(operations.c.id.in_(chunk))
            found += map(operation, self.connection.execute(statement).mappings())
        return found

    def _count_in(self, of: Operation, tally: Tally) -> None:
        if len(of.steps) > 1:
            self.follow(of, tally.vms)
        if of.max_parallel is not None and tally.ended:
            self.agents |= set(self.connection.scalars(_waiting(of.id)))
        failures = of.failures + tally.failures
        stopping, problem = of.stopping, of.problem
        most = of.stop_after_failures
        if most is not None and failures >= most and not of.stopping:
            stopping, problem = True, f"stopped after {failures} failures"
            self.stop(of, begun_too=False)
        total, ended = of.total + tally.total, of.ended + tally.ended
        succeeded = of.succeeded + tally.succeeded
        more = self._tallies.get(of.id)
        over = ended == total and (more is None or not more.total)
        stage = _stage(of, succeeded == total, failures, stopping) if over else of.state.value
        row = {
            "key": of.id,
            "version": of.version + 1,
            "total": total,
            "ended": ended,
            "succeeded": succeeded,
            "failures": failures,
            "finished": (of.finished or self.now) if over else None,
            "state": of.state.value if of.finished else stage,
            "stopping": int(stopping),
            "problem": problem,
        }
        self.connection.execute(_SAVE_OPERATION, [row])
        if over:
            drop(self.connection, of.id)

    def follow(self, of: Operation, vms: Iterable[str]) -> None:
        """Draw the next step, or the way back, of these VMs."""
        for vm_id in sorted(vms):
            statement = select(commands).where(
                commands.c.vm_id == vm_id, commands.c.operation_id == of.id
            )
            rows = [command(row) for row in self.connection.execute(statement).mappings()]
            moves, new = advance(of, rows, self.now)
            for old, moved in moves:
                self.move(old, moved)
            self.add(new)

    def _event(self, of: Command) -> None:
        said = of.late and f"reported later: {of.late}"
        self._events.append(
            {
                "command_id": of.id,
                "version": of.version,
                "at": self.now,
                "state": of.state.value,
                "text": said or of.error or of.text,
            }
        )

    def _write_events(self) -> None:
        events, self._events = self._events, []
        for chunk in chunks(events):
            self.connection.execute(insert(command_events), chunk)


@contextmanager
def changing(engine: Engine, now: datetime, audit: Audit) -> Iterator[Change]:
    """
    Raises:
        Unavailable: the database does not answer.
    """
    with writing(engine) as connection:
        one_after_another(connection)
        change = Change(connection, now, audit)
        yield change
        change.settle()


def _waiting(operation_id: str) -> Select[tuple[str]]:
    """Agents of commands that may begin when others of the operation have ended."""
    return (
        select(commands.c.identity_id)
        .where(commands.c.operation_id == operation_id, commands.c.ended.is_(None))
        .where(commands.c.ready == 1)
        .distinct()
    )


def _count(tally: Tally, of: Command) -> None:
    tally.ended += 1
    tally.vms.add(of.vm_id)
    if of.state is State.SUCCEEDED:
        tally.succeeded += 1
    elif of.state is not State.CANCELLED and not of.undoes:
        tally.failures += 1


def _stage(of: Operation, all_succeeded: bool, failures: int, stopping: bool) -> str:
    if all_succeeded:
        return Stage.SUCCEEDED.value
    by_itself = of.stop_after_failures is not None and failures >= of.stop_after_failures
    return (Stage.CANCELLED if stopping and not by_itself else Stage.FAILED).value
