"""Whose word a row of the inventory is: that of an agent which proved its identity when it sent it,
or anybody's. What the first kind says is changed by that kind alone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Table, literal_column, select

from novacron_store.state.identities import Standing
from novacron_store.state.tables.enrolment import agent_identities


def holder(table: Table) -> ScalarSelect[Any]:
    """`reported_by` of a row, and null as soon as that identity is revoked or gone."""
    of = agent_identities.c
    # By its name: within ON CONFLICT nothing is correlated, and all of the table would be meant.
    stands = of.agent_id == literal_column(f"{table.name}.reported_by")
    stands &= of.standing != Standing.REVOKED.value
    return select(of.agent_id).where(stands).scalar_subquery()


def columns(table: Table) -> list[ColumnElement[Any]]:
    """All of a table, with who holds its rows as `reported_by`."""
    kept = [column for column in table.c if column.name != "reported_by"]
    return [*kept, holder(table).label("reported_by")]
