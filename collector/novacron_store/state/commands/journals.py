"""What agents say of themselves, and their journals held against the record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, insert, select

from novacron_contract.commands import State
from novacron_store.state.audit import Audit, Entry, Outcome
from novacron_store.state.commands.changing import Change, changing, chunks
from novacron_store.state.commands.machine import alarm
from novacron_store.state.commands.noting import agent
from novacron_store.state.commands.records import Command, command
from novacron_store.state.database import reading, writing
from novacron_store.state.tables.commands import abilities, commands

_TOLD_EVERY = timedelta(hours=1)
_NAMED = 20  # ids of commands in one entry of the audit


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an agent says when it starts."""

    instance: str
    version: str = ""
    boot_id: str = ""
    provider: str = ""
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entered:
    """A command as an agent's journal has it."""

    command_id: str
    state: State


@dataclass(frozen=True)
class Journals:
    engine: Engine
    audit: Audit
    _told: dict[str, datetime] = field(default_factory=dict)  # of orders we know nothing of

    def verbs(self, identities: Iterable[str]) -> dict[str, frozenset[str]]:
        """What those agents can do that told."""
        found: dict[str, frozenset[str]] = {}
        with reading(self.engine) as connection:
            for chunk in chunks(identities):
                statement = select(abilities.c.identity_id, abilities.c.verbs)
                rows = connection.execute(statement.where(abilities.c.identity_id.in_(chunk)))
                found.update({key: frozenset(verbs) for key, verbs in rows})
        return found

    def describe(self, identity: str, about: About, now: datetime) -> None:
        row = {
            "identity_id": identity,
            "at": now,
            "instance": about.instance,
            "version": about.version,
            "boot_id": about.boot_id,
            "provider": about.provider,
            "verbs": list(about.verbs),
        }
        with writing(self.engine) as connection:
            connection.execute(delete(abilities).where(abilities.c.identity_id == identity))
            connection.execute(insert(abilities), [row])

    def compare(self, identity: str, entries: Sequence[Entered], now: datetime) -> int:
        """Hold an agent's journal against the record; the number of differences, which are in the
        audit. A command whose difference is there is not told of again."""
        with changing(self.engine, now, self.audit) as change:
            known = _known(change, identity, [entry.command_id for entry in entries])
            unordered = [key.command_id for key in entries if key.command_id not in known]
            differing = [
                (entry, known[entry.command_id])
                for entry in entries
                if entry.command_id in known and _differs(entry, known[entry.command_id])
            ]
            for _, of in differing:
                change.move(of, alarm(of))
            if unordered and self._is_news(identity, now):
                shown = {"commands": unordered[:_NAMED], "count": len(unordered)}
                change.entries.append(_alarm("journal.unordered", identity, shown))
            if differing:
                shown = {
                    "commands": [_both(*pair) for pair in differing[:_NAMED]],
                    "count": len(differing),
                }
                change.entries.append(_alarm("journal.differs", identity, shown))
        return len(unordered) + len(differing)

    def _is_news(self, identity: str, now: datetime) -> bool:
        """Once an hour: an agent may say it as often as it likes."""
        before = self._told.get(identity)
        if before is not None and now - before < _TOLD_EVERY:
            return False
        self._told[identity] = now
        return True


def _known(change: Change, identity: str, ids: Iterable[str]) -> dict[str, Command]:
    found: dict[str, Command] = {}
    for chunk in chunks(ids):
        statement = select(commands).where(
            commands.c.id.in_(chunk), commands.c.identity_id == identity
        )
        rows = change.connection.execute(statement).mappings()
        found.update({row["id"]: command(row) for row in rows})
    return found


def _differs(entry: Entered, of: Command) -> bool:
    """Ends alone: what goes on may be ahead on either side."""
    if not (entry.state.is_final and of.state.is_final) or of.alarmed:
        return False
    return entry.state not in (of.state, of.late) and of.state is not State.OUTCOME_UNKNOWN


def _both(entry: Entered, of: Command) -> dict[str, str]:
    return {"command": of.id, "journal": entry.state.value, "record": of.state.value}


def _alarm(action: str, identity: str, detail: dict[str, Any]) -> Entry:
    return Entry(
        actor=agent(identity),
        action=action,
        target=f"agent:{identity}",
        outcome=Outcome.FAILED,
        detail=detail,
    )
