"""What a damaged spool still gives, copied into a new one."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from novacron_agent.delivery.batch import Dropped
from novacron_agent.delivery.database import MIGRATIONS

log = logging.getLogger(__name__)

_PORTION_BYTES = 1 << 20  # of what one transaction copies
_OVERHEAD = 4096  # of a row, at most

# Gaps are first: they are few, and what is given up from then on becomes one
_SAVED = {
    "gaps": "number, reason, until_place, first_ns, last_ns, points",
    "batches": "place, id, points, first_ns, last_ns, created_ns, notice, weight, body",
}


class Salvage:
    """From the file `aside`. It goes on where it stopped: what was copied may be delivered by then.

    Until all is copied nothing may be added to the new file, which would give a place twice.
    """

    def __init__(self, aside: Path) -> None:
        self.aside = aside
        self.batches = 0  # so many were copied
        self._done = dict.fromkeys(_SAVED, -(2**63))  # the last key that was

    def copy_into(self, new: sqlite3.Connection) -> None:
        """
        Raises:
            sqlite3.Error: of the new file, as when the disk is full; to be called again.
        """
        for table in _SAVED:
            with contextlib.closing(self._rows(table)) as rows:
                while self._copy_portion(new, table, rows):
                    pass

    def _copy_portion(
        self, new: sqlite3.Connection, table: str, rows: Iterator[tuple[Any, ...]]
    ) -> bool:
        """Whether there may be more."""
        marks = ",".join("?" * (_SAVED[table].count(",") + 1))
        insert = f"INSERT OR IGNORE INTO {table} ({_SAVED[table]}) VALUES ({marks})"
        room, copied, last = _PORTION_BYTES, 0, self._done[table]
        try:
            new.execute("BEGIN IMMEDIATE")
            while room > 0 and (row := next(rows, None)) is not None:
                copied += new.execute(insert, row).rowcount
                room -= _OVERHEAD + (len(row[-1]) if table == "batches" else 0)
                last = row[0]
            new.execute("COMMIT")
        except sqlite3.Error:
            if new.in_transaction:  # SQLite may have ended it by itself
                new.execute("ROLLBACK")
            raise
        self._done[table] = last
        if table == "batches":
            self.batches += copied
        return room <= 0

    def _rows(self, table: str) -> Generator[tuple[Any, ...], None, None]:
        """Those that are not copied yet, as far as they can be read."""
        columns = _SAVED[table]
        key = columns.split(",")[0]
        try:
            with contextlib.closing(sqlite3.connect(self.aside, isolation_level=None)) as old:
                # Without shared memory, which is a file, too
                old.execute("PRAGMA locking_mode=EXCLUSIVE")
                old.execute("PRAGMA writable_schema=ON")  # a file that is cut off is read as well
                if old.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),):
                    query = f"SELECT {columns} FROM {table} WHERE {key} > ? ORDER BY 1"
                    yield from filter(_is_sound, old.execute(query, (self._done[table],)))
        except (sqlite3.Error, UnicodeDecodeError, OverflowError) as err:
            log.info("%s: after %d batches: %s", self.aside, self.batches, err)


def _is_sound(row: tuple[Any, ...]) -> bool:
    """Not what wrong bytes made of it."""
    kinds = [type(value) for value in row]
    if len(row) == 6:
        return kinds == [int, str, int, int, int, int] and row[1] in list(Dropped)
    return kinds == [int, bytes, *[int] * 6, bytes] and len(row[1]) == 16
