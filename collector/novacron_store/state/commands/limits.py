"""How many commands may be delivered now: the brake, an operation's own limits, a host's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, func, or_, select

from novacron_contract.commands import State
from novacron_store.state.commands.brake import brake
from novacron_store.state.commands.records import IN_FLIGHT, Command
from novacron_store.state.tables.commands import commands, operations

FEW = 500  # agents in one statement
_MINUTE = timedelta(minutes=1)
# One command at most of each VM that has begun and has not ended: in hand, or the next step.
_UNDER_WAY = (
    commands.c.ended.is_(None),
    or_(
        commands.c.state != State.QUEUED.value,
        and_(commands.c.place > 0, commands.c.ready == 1),
    ),
)


@dataclass(slots=True)
class Room:
    """`fleet` None: without a limit. `begin`: VMs that may be begun, `deliver`: commands, both by
    operation; one that is in neither has no limit."""

    fleet: int | None
    begin: dict[str, int] = field(default_factory=dict)
    deliver: dict[str, int] = field(default_factory=dict)
    refused: bool = False

    @property
    def is_none(self) -> bool:
        return self.fleet is not None and self.fleet <= 0

    def full(self) -> tuple[list[str], list[str]]:
        """Operations of which no VM may be begun, and those of which nothing may be delivered."""
        return tuple(  # type: ignore[return-value]
            sorted(key for key, left in room.items() if left <= 0)
            for room in (self.begin, self.deliver)
        )

    def take(self, of: Command) -> bool:
        """Whether it may be delivered; then there is less room."""
        key, begins = of.operation_id, of.place == 0
        if (
            self.is_none
            or (begins and self.begin.get(key, 1) <= 0)
            or self.deliver.get(key, 1) <= 0
        ):
            self.refused = True
            return False
        if self.fleet is not None:
            self.fleet -= 1
        if begins and key in self.begin:
            self.begin[key] -= 1
        if key in self.deliver:
            self.deliver[key] -= 1
        return True


def room(connection: Connection, now: datetime, max_per_minute: int) -> Room:
    """`max_per_minute` 0: without a limit."""
    if brake(connection).held:
        return Room(0)
    recent = commands.c.delivered > now - _MINUTE
    fleet = None
    if max_per_minute:
        count = select(func.count()).select_from(commands).where(recent)
        fleet = max_per_minute - connection.execute(count).scalar_one()
    found = Room(fleet)
    limited = select(operations.c.id, operations.c.max_parallel, operations.c.max_per_minute).where(
        operations.c.finished.is_(None),
        or_(operations.c.max_parallel.is_not(None), operations.c.max_per_minute.is_not(None)),
    )
    for key, parallel, per_minute in connection.execute(limited):
        of_it = commands.c.operation_id == key
        if parallel is not None:
            found.begin[key] = parallel - _count(connection, of_it, *_UNDER_WAY)
        if per_minute is not None:
            found.deliver[key] = per_minute - _count(connection, of_it, recent)
    return found


def in_flight(connection: Connection, identities: Collection[str]) -> dict[str, Counter[str]]:
    """Of those agents that have commands in hand, how many; by the journal that was told."""
    statement = (
        select(commands.c.identity_id, commands.c.instance, func.count())
        .where(
            commands.c.ended.is_(None),
            commands.c.state.in_([state.value for state in IN_FLIGHT]),
        )
        .group_by(commands.c.identity_id, commands.c.instance)
    )
    if len(identities) <= FEW:
        statement = statement.where(commands.c.identity_id.in_(list(identities)))
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for identity, instance, count in connection.execute(statement):
        if identity in identities:
            found[identity][instance] = count
    return found


def _count(connection: Connection, *which: object) -> int:
    statement = select(func.count()).select_from(commands)
    return connection.execute(statement.where(*which)).scalar_one()  # type: ignore[arg-type]
