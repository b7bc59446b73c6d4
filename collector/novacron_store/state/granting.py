"""The grants of users, as they are stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, insert, select

from novacron_contract.access import Grant, Role, scope
from novacron_contract.errors import BadMessage
from novacron_store.state.tables.access import grants

MOST_GRANTS = 100  # of a user


def grants_of(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Grant, ...]]:
    query = select(grants).order_by(grants.c.role, grants.c.scope)
    if len(ids) == 1:
        query = query.where(grants.c.user_id == ids[0])
    found: dict[str, list[Grant]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.user_id].append(Grant(Role(row.role), scope(row.scope)))
    return defaultdict(tuple, {key: tuple(given) for key, given in found.items()})


def unique(given: Iterable[Grant]) -> tuple[Grant, ...]:
    unique = tuple(dict.fromkeys(given))
    if len(unique) > MOST_GRANTS:
        raise BadMessage(f"grants: {len(unique)}, expected {MOST_GRANTS} or fewer")
    return unique


def give(connection: Connection, user_id: str, given: tuple[Grant, ...]) -> None:
    rows = [{"user_id": user_id, "role": of.role.value, "scope": str(of.scope)} for of in given]
    if rows:
        connection.execute(insert(grants), rows)


def written(given: Iterable[Grant]) -> list[str]:
    return [f"{of.role} {of.scope}" for of in given]
