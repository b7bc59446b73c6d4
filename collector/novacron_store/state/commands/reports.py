"""What agents say of their commands, taken into the record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine, select

from novacron_contract.commands import Report
from novacron_store.state.audit import Audit, Entry, Outcome
from novacron_store.state.commands.changing import Change, changing, chunks
from novacron_store.state.commands.machine import Meaning, Patience, take
from novacron_store.state.commands.noting import agent
from novacron_store.state.commands.records import Command, command
from novacron_store.state.tables.commands import commands


@dataclass(frozen=True, slots=True)
class Said:
    """The reports of one agent's request."""

    identity_id: str
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """`taken`: command ids and numbers, which it need not repeat; `unknown`: no such command was
    ever given to this agent."""

    taken: tuple[tuple[str, int], ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    taken: tuple[Taken, ...]
    agents: frozenset[str]
    touched: frozenset[str]


@dataclass(frozen=True)
class Reports:
    engine: Engine
    audit: Audit
    patience: Patience = field(default_factory=Patience)

    def take(self, every: Sequence[Said], now: datetime) -> Answered:
        """Those of several agents in one transaction, each answered for itself."""
        ids = {report.command_id for said in every for report in said.reports}
        with changing(self.engine, now, self.audit) as change:
            known = _load(change, ids)
            taken = tuple(self._take(change, known, said) for said in every)
        return Answered(taken, frozenset(change.agents), frozenset(change.touched))

    def _take(self, change: Change, known: dict[str, Command], said: Said) -> Taken:
        unknown: dict[str, None] = {}
        for report in sorted(said.reports, key=lambda one: one.number):
            old = known.get(report.command_id)
            if old is None or old.identity_id != said.identity_id:
                unknown[report.command_id] = None
                continue
            meaning, new = take(old, report, change.now, self.patience)
            known[old.id] = new
            change.move(old, new, by=agent(said.identity_id))
            if meaning in (Meaning.CONTRADICTION, Meaning.LATE):
                change.entries.append(_odd(meaning, new, report, said.identity_id))
        taken = tuple(
            (one.command_id, one.number) for one in said.reports if one.command_id not in unknown
        )
        return Taken(taken, tuple(unknown))


def _load(change: Change, ids: Iterable[str]) -> dict[str, Command]:
    found: dict[str, Command] = {}
    for chunk in chunks(sorted(ids)):
        rows = change.connection.execute(select(commands).where(commands.c.id.in_(chunk)))
        found.update({row["id"]: command(row) for row in rows.mappings()})
    return found


def _odd(meaning: Meaning, of: Command, report: Report, identity_id: str) -> Entry:
    is_late = meaning is Meaning.LATE
    return Entry(
        actor=agent(identity_id),
        action="command.late_report" if is_late else "command.contradiction",
        target=f"vm:{of.vm_id}",
        outcome=Outcome(report.state.value) if is_late else Outcome.FAILED,
        reason=f"the record says {of.state}, the agent reports {report.state}",
        detail={"command": of.id, "operation": of.operation_id, "number": report.number},
    )
