"""The journal's file: SQLite, held by one agent alone, each change with its fsync."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from novacron_agent.delivery.database import Damaged, is_damage, is_full, open_database, set_aside
from novacron_contract.errors import Unavailable

log = logging.getLogger(__name__)

_MAX_BYTES = 256 * 2**20
_HANG_S = 10.0  # a change that takes longer: the disk hangs
_LAST_S = 0.5

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE instance (id TEXT PRIMARY KEY);
    CREATE TABLE commands (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        verb TEXT NOT NULL,
        vm_id TEXT NOT NULL,
        body TEXT NOT NULL,
        state TEXT NOT NULL,
        boot_id TEXT NOT NULL,
        received_wall REAL NOT NULL,
        expires REAL NOT NULL,
        began REAL,
        began_wall REAL,
        evidence TEXT NOT NULL DEFAULT '',
        ended_wall REAL,
        number INTEGER NOT NULL DEFAULT 0,
        said TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX commands_of_state ON commands (state);
    CREATE TABLE reports (
        command_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        passing INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (command_id, number)
    );
    """,
)


class JournalFile:
    """Any thread may use it. Opened at the first use, and anew after damage: with another instance
    id, by which the collector knows that what was in it is lost."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set_aside = 0
        self.errors = 0
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._instance = ""
        self._closed = False

    @property
    def instance(self) -> str:
        """
        Raises:
            Unavailable: as change().
        """
        with self.change():
            return self._instance

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """A transaction: what was done in it is on disk when this returns, or not at all.

        Raises:
            Unavailable: the disk does not do its part, or another agent has the file.
        """
        if not self._lock.acquire(timeout=_HANG_S):
            self.errors += 1
            raise Unavailable(f"{self.path}: the disk does not answer")
        try:
            yield from self._changed()
        except Unavailable:
            self.errors += 1
            raise
        except sqlite3.Error as err:
            self.errors += 1
            raise self._trouble(err) from err
        finally:
            self._lock.release()

    def close(self) -> None:
        """A disk that hangs is left behind."""
        if self._lock.acquire(timeout=_LAST_S):
            try:
                self._closed = True
                self._let_go()
            finally:
                self._lock.release()

    def _changed(self) -> Iterator[sqlite3.Connection]:
        db = self._db or self._open()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a disk that failed has rolled back already
                db.execute("ROLLBACK")
            raise

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise Unavailable(f"{self.path}: it was closed")
        try:
            db = self._opened()
        except Damaged as err:
            self._put_away(str(err))
            db = self._opened()
        self._db = db
        return db

    def _opened(self) -> sqlite3.Connection:
        db = open_database(self.path, _MAX_BYTES, MIGRATIONS)
        try:
            db.execute("PRAGMA cache_size=-128")  # rows are few and near each other
            db.execute("PRAGMA secure_delete=ON")  # seeds of VMs have passwords in them
            db.execute(
                "INSERT INTO instance SELECT ? WHERE NOT EXISTS (SELECT 1 FROM instance)",
                (str(uuid.uuid4()),),
            )
            (self._instance,) = db.execute("SELECT id FROM instance").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _trouble(self, err: sqlite3.Error) -> Unavailable:
        """Damage that is found later than at the start: the next use begins a new file."""
        if is_damage(err):
            self._let_go()
            self._put_away(str(err))
        reason = "the disk is full" if is_full(err) else str(err)
        if getattr(err, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            reason = "another agent has it: each needs an id_file of its own"
        return Unavailable(f"{self.path}: cannot be written: {reason}")

    def _put_away(self, reason: str) -> None:
        try:
            aside = set_aside(self.path)
        except OSError as err:
            raise Unavailable(f"{self.path}: damaged, and cannot be renamed: {err}") from err
        self.set_aside += 1
        log.error(
            "%s: damaged (%s): put away as %s; a new journal is begun, and the collector will call "
            "the outcome of what was in it unknown",
            *(self.path, reason, aside.name),
        )

    def _let_go(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()
