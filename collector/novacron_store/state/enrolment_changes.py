"""Changes of identities and tokens, numbered: a copy in memory is brought up to date by asking for
what is newer than its own number."""

from __future__ import annotations

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from novacron_store.state.tables.enrolment import enrolment_changes

_ONLY = "all"


def next_change(connection: Connection) -> int:
    """Called first in a transaction, so that those of PostgreSQL wait for each other here: their
    numbers are then in the order in which they are committed."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(enrolment_changes).values(id=_ONLY, number=1)
    number = enrolment_changes.c.number
    counted = insert.on_conflict_do_update(
        index_elements=[enrolment_changes.c.id], set_={"number": number + 1}
    ).returning(number)
    return int(connection.execute(counted).scalar_one())


def last_change(connection: Connection) -> int:
    found = connection.execute(select(enrolment_changes.c.number)).scalar_one_or_none()
    return int(found or 0)
