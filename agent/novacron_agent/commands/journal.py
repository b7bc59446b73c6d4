"""What the agent was ordered and what became of it: on disk before anything is done.

At most one effect: a command is begun by the one change of its row from `accepted` to `running`,
and whoever finds it `running` after a crash knows that it may have been done.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from novacron_agent.commands.clock import Clock
from novacron_agent.commands.entry import Entry, Outcome
from novacron_agent.commands.journal_file import JournalFile
from novacron_agent.commands.rows import (
    DROP_PASSING,
    ENTRY,
    OPEN,
    add_report,
    entry_of,
    is_open,
)
from novacron_contract.commands import Order, Report, State, report
from novacron_contract.errors import BadMessage, Unavailable

KEPT_S = 7 * 86400.0
MAX_ROWS = 100_000
_ROOM = 1000  # rows that are removed at once where there are too many
_TELL_AGAIN = """INSERT INTO reports SELECT id, number, FALSE, said FROM commands WHERE id = :id
    AND NOT EXISTS (SELECT 1 FROM reports WHERE command_id = :id)"""
_FINISHED = f"""state NOT IN {OPEN} AND NOT EXISTS
    (SELECT 1 FROM reports WHERE reports.command_id = commands.id)"""


class Journal:
    """Every method raises Unavailable when the disk does not do its part; then nothing was
    written."""

    def __init__(self, path: Path, clock: Clock, max_rows: int = MAX_ROWS) -> None:
        self.file = JournalFile(path)
        self._clock, self._max_rows = clock, max_rows

    @property
    def instance(self) -> str:
        return self.file.instance

    def close(self) -> None:
        self.file.close()

    # -- orders ----------------------------------------------------------------------------------

    def accept(self, orders: Iterable[Order], received: float) -> list[Entry]:
        """Those that were not known already; of the others the last is told again, should the
        collector have taken all there was. `received`: seconds since boot."""
        accepted = []
        with self.file.change() as db:
            self._make_room(db)
            for one in orders:
                expires = received + one.ttl_ms / 1000
                place = self._insert(db, one.id, one.verb, one.vm_id, one.as_json(), expires)
                if place is None:
                    db.execute(_TELL_AGAIN, {"id": one.id})
                    continue
                add_report(db, one.id, State.ACCEPTED)
                accepted.append(entry_of(self._row(db, one.id)))
        return accepted

    def refuse(self, command_id: str, verb: str, vm_id: str, outcome: Outcome) -> bool:
        """Journal the end of what never was in it, unless it was; whether it is new."""
        with self.file.change() as db:
            self._make_room(db)
            if self._insert(db, command_id, verb, vm_id, {}, 0.0) is None:
                return False
            self._end(db, command_id, outcome)
            return True

    def withdraw(self, command_id: str, outcome: Outcome) -> bool:
        """End it, if it has not begun; what is not known will never begin. Whether it ended."""
        with self.file.change() as db:
            self._make_room(db)
            self._insert(db, command_id, "", "", {}, 0.0)
            row = db.execute("SELECT state FROM commands WHERE id = ?", (command_id,)).fetchone()
            if row != (State.ACCEPTED.value,):
                return False
            self._end(db, command_id, outcome)
            return True

    def unfinished(self) -> list[Entry]:
        """In the order in which they came. What another release wrote, and this one cannot read,
        ends here."""
        entries = []
        with self.file.change() as db:
            rows = db.execute(f"{ENTRY} WHERE state IN (?, ?) ORDER BY place", OPEN).fetchall()
            for row in rows:
                try:
                    entries.append(entry_of(row))
                except (ValueError, BadMessage) as err:
                    self._end_unreadable(db, row, err)
        return entries

    # -- their way -------------------------------------------------------------------------------

    def begin(self, command_id: str) -> bool:
        """The mark before the effect. False where it has begun, ended or is not known: then it
        must not be done."""
        now = (self._clock.since_boot(), self._clock.wall(), self._clock.boot_id)
        with self.file.change() as db:
            done = db.execute(
                "UPDATE commands SET state = ?, began = ?, began_wall = ?, boot_id = ?"
                " WHERE id = ? AND state = ?",
                (State.RUNNING, *now, command_id, State.ACCEPTED),
            )
            if done.rowcount:
                add_report(db, command_id, State.RUNNING)
            return bool(done.rowcount)

    def rebase(self, command_id: str, expires: float) -> None:
        """It goes on after a start of the machine, by the new count of seconds."""
        with self.file.change() as db:
            db.execute(
                "UPDATE commands SET boot_id = ?, expires = ? WHERE id = ?",
                (self._clock.boot_id, expires, command_id),
            )

    def progress(self, command_id: str, text: str, share: float | None) -> None:
        """Takes the place of the one before, if that was not told yet."""
        with self.file.change() as db:
            if is_open(db, command_id):
                db.execute(DROP_PASSING, (command_id,))
                said = Outcome(state=State.RUNNING, text=text)
                add_report(db, command_id, State.RUNNING, said, share, passing=True)

    def witness(self, command_id: str, text: str) -> None:
        with self.file.change() as db:
            db.execute("UPDATE commands SET evidence = ? WHERE id = ?", (text, command_id))

    def end(self, command_id: str, outcome: Outcome) -> bool:
        """The mark after the effect, and its report. False where it had ended already."""
        with self.file.change() as db:
            if not is_open(db, command_id):
                return False
            self._end(db, command_id, outcome)
            return True

    # -- what the collector is told --------------------------------------------------------------

    def reports(self, limit: int, max_bytes: int) -> list[Report]:
        """Those that were not taken yet, the oldest first."""
        found: list[Report] = []
        with self.file.change() as db:
            for (body,) in db.execute("SELECT body FROM reports ORDER BY rowid LIMIT ?", (limit,)):
                max_bytes -= len(body.encode()) + 1
                if found and max_bytes < 0:
                    break
                found.append(report(json.loads(body)))
        return found

    def waiting(self) -> int:
        with self.file.change() as db:
            (number,) = db.execute("SELECT count(*) FROM reports").fetchone()
            return int(number)

    def taken(self, reports: Iterable[tuple[str, int]], unknown: Iterable[str] = ()) -> None:
        """They need not be told again; of what the collector does not know, nothing more."""
        with self.file.change() as db:
            db.executemany("DELETE FROM reports WHERE command_id = ? AND number = ?", reports)
            db.executemany("DELETE FROM reports WHERE command_id = ?", ((one,) for one in unknown))

    def page(self, after: int, limit: int) -> tuple[int, list[dict[str, str]]]:
        """Commands from the place `after` on, as the collector compares them with its record."""
        with self.file.change() as db:
            rows = db.execute(
                "SELECT place, id, verb, vm_id, state FROM commands WHERE place > ?"
                " AND verb <> '' ORDER BY place LIMIT ?",
                (after, limit),
            ).fetchall()
        names = ("command_id", "verb", "vm_id", "state")
        entries = [dict(zip(names, row[1:], strict=True)) for row in rows]
        return (rows[-1][0] if rows else after), entries

    def last_place(self) -> int:
        with self.file.change() as db:
            (place,) = db.execute("SELECT coalesce(max(place), 0) FROM commands").fetchone()
            return int(place)

    def prune(self) -> None:
        """What ended long ago and was told goes."""
        with self.file.change() as db:
            old = self._clock.wall() - KEPT_S
            db.execute(f"DELETE FROM commands WHERE ended_wall < ? AND {_FINISHED}", (old,))

    # -- rows ------------------------------------------------------------------------------------

    def _make_room(self, db: sqlite3.Connection) -> None:
        (span,) = db.execute("SELECT max(place) - min(place) FROM commands").fetchone()
        if (span or 0) + 1 < self._max_rows:
            return  # without counting
        db.execute(
            f"DELETE FROM commands WHERE place IN (SELECT place FROM commands WHERE {_FINISHED}"
            " ORDER BY place LIMIT ?)",
            (_ROOM,),
        )
        (rows,) = db.execute("SELECT count(*) FROM commands").fetchone()
        if rows >= self._max_rows:
            raise Unavailable(
                f"{self.file.path}: {rows} commands whose end the collector has not taken; "
                "no other is accepted until it does"
            )

    def _insert(
        self,
        db: sqlite3.Connection,
        command_id: str,
        verb: str,
        vm_id: str,
        body: Mapping[str, Any],
        expires: float,
    ) -> int | None:
        done = db.execute(
            "INSERT OR IGNORE INTO commands"
            " (id, verb, vm_id, body, state, boot_id, received_wall, expires)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(command_id, verb, vm_id, json.dumps(body), State.ACCEPTED),
                *(self._clock.boot_id, self._clock.wall(), expires),
            ),
        )
        return done.lastrowid if done.rowcount else None

    def _row(self, db: sqlite3.Connection, command_id: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = db.execute(f"{ENTRY} WHERE id = ?", (command_id,)).fetchone()
        return row

    def _end_unreadable(
        self, db: sqlite3.Connection, row: tuple[Any, ...], err: ValueError | BadMessage
    ) -> None:
        (command_id,) = db.execute("SELECT id FROM commands WHERE place = ?", row[:1]).fetchone()
        begun = row[2] == State.RUNNING
        error = f"another release of the agent journalled it, and this one cannot read it: {err}"
        state = State.OUTCOME_UNKNOWN if begun else State.REJECTED
        self._end(db, command_id, Outcome(state=state, error=error))

    def _end(self, db: sqlite3.Connection, command_id: str, outcome: Outcome) -> None:
        db.execute(  # what it said is of no use any more, and may be secret, as a seed is
            "UPDATE commands SET state = ?, ended_wall = ?, body = '{}' WHERE id = ?",
            (outcome.state, self._clock.wall(), command_id),
        )
        db.execute(DROP_PASSING, (command_id,))
        add_report(db, command_id, outcome.state, outcome)
