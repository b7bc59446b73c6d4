"""Rows of the journal: entries and reports."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from novacron_agent.commands.entry import Entry, Outcome
from novacron_contract.commands import MAX_DETAIL, Report, State, order

OPEN = (State.ACCEPTED.value, State.RUNNING.value)
ENTRY = """SELECT place, body, state, boot_id, received_wall, expires, began, began_wall, evidence
    FROM commands"""
DROP_PASSING = "DELETE FROM reports WHERE command_id = ? AND passing"


def is_open(db: sqlite3.Connection, command_id: str) -> bool:
    row = db.execute("SELECT state FROM commands WHERE id = ?", (command_id,)).fetchone()
    return row is not None and row[0] in OPEN


def add_report(
    db: sqlite3.Connection,
    command_id: str,
    state: State,
    said: Outcome | None = None,
    share: float | None = None,
    *,
    passing: bool = False,
) -> None:
    """The journal counts them, so that one which comes twice is known."""
    [(number,)] = db.execute(
        "UPDATE commands SET number = number + 1 WHERE id = ? RETURNING number", (command_id,)
    ).fetchall()
    said = said or Outcome(state=state)
    detail = said.detail if len(json.dumps(dict(said.detail))) <= MAX_DETAIL else {"cut": True}
    told = Report(
        command_id=command_id,
        number=number,
        state=state,
        share=share,
        text=said.text,
        error=said.error,
        detail=detail,
    )
    body = json.dumps(told.as_json())
    db.execute("INSERT INTO reports VALUES (?, ?, ?, ?)", (command_id, number, passing, body))
    db.execute("UPDATE commands SET said = ? WHERE id = ?", (body, command_id))


def entry_of(row: tuple[Any, ...]) -> Entry:
    place, body, state, boot_id, received, expires, began, began_wall, evidence = row
    return Entry(
        order=order(json.loads(body)),
        place=place,
        state=State(state),
        boot_id=boot_id,
        received_wall=received,
        expires=expires,
        began=began,
        began_wall=began_wall,
        evidence=evidence,
        again=State(state) is State.RUNNING,
    )
