"""The file of a spool: SQLite, opened, looked through, brought up to date or set aside."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from novacron_contract.errors import Unavailable

KEPT_ASIDE = 2  # damaged files: each may be as large as a spool
_PARTS = ("", "-wal", "-journal", "-shm")

# One entry for each version of the schema: what the one before needs to become it.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE batches (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL,
        points INTEGER NOT NULL,
        first_ns INTEGER NOT NULL,
        last_ns INTEGER NOT NULL,
        created_ns INTEGER NOT NULL,
        notice INTEGER NOT NULL,
        weight INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    CREATE TABLE gaps (
        number INTEGER PRIMARY KEY,
        reason TEXT NOT NULL,
        until_place INTEGER NOT NULL,
        first_ns INTEGER NOT NULL,
        last_ns INTEGER NOT NULL,
        points INTEGER NOT NULL
    );
    CREATE TABLE dead_letters (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL,
        reason TEXT NOT NULL,
        died_ns INTEGER NOT NULL,
        points INTEGER NOT NULL,
        first_ns INTEGER NOT NULL,
        last_ns INTEGER NOT NULL,
        weight INTEGER NOT NULL,
        body BLOB NOT NULL
    );
    """,
)


class Damaged(Exception):
    """The file is not what it should be, and no attempt will make it so."""


def open_database(
    path: Path, max_bytes: int, migrations: Sequence[str] = MIGRATIONS
) -> sqlite3.Connection:
    """
    Raises:
        Damaged: it must be set aside.
        Unavailable: it cannot be opened now.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as err:
        raise Unavailable(f"{path}: cannot be opened: {err}") from err
    try:
        _prepare(db, max_bytes, migrations)
    except sqlite3.Error as err:
        db.close()
        if is_damage(err):
            raise Damaged(str(err)) from err
        raise Unavailable(f"{path}: {err}") from err
    except (Damaged, UnicodeDecodeError) as err:
        db.close()
        raise Damaged(str(err)) from err
    return db


def is_damage(err: sqlite3.Error) -> bool:
    """A table or column that is not there (SQLITE_ERROR) is a schema with wrong bytes."""
    code = getattr(err, "sqlite_errorcode", 0) & 0xFF
    damage = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
    return code in (*damage, sqlite3.SQLITE_ERROR)


def is_full(err: sqlite3.Error) -> bool:
    return getattr(err, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def _prepare(db: sqlite3.Connection, max_bytes: int, migrations: Sequence[str]) -> None:
    # One agent alone has it; without shared memory, so that any file system will do.
    db.execute("PRAGMA locking_mode=EXCLUSIVE")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA secure_delete=OFF")  # Debian's default writes zeros over what is deleted
    db.execute("PRAGMA cache_size=-1024")
    db.execute("PRAGMA wal_autocheckpoint=256")  # pages: less than the ballast holds
    (page_size,) = db.execute("PRAGMA page_size").fetchone()
    db.execute(f"PRAGMA max_page_count={max_bytes // page_size}")
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise Damaged(found)
    _migrate(db, migrations)


def _migrate(db: sqlite3.Connection, migrations: Sequence[str]) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise Damaged(f"a newer release made it (schema {version}, here {len(migrations)})")
    if version == 0 and db.execute("SELECT count(*) FROM sqlite_schema").fetchone() != (0,):
        raise Damaged("another program made it")
    db.execute("BEGIN IMMEDIATE")
    for number, script in enumerate(migrations[version:], version + 1):
        for statement in script.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version={number}")
    db.execute("COMMIT")


def set_aside(path: Path) -> Path:
    """Rename it, and delete the oldest of those that were set aside.

    Raises:
        OSError: it cannot be renamed.
    """
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.damaged-{now}")
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + part).rename(aside.with_name(aside.name + part))
    stem = f"{path.name}.damaged-"
    times = {found.name[len(stem) :].split("Z")[0] for found in path.parent.glob(f"{stem}*")}
    for time in sorted(times)[:-KEPT_ASIDE]:
        for part in _PARTS:
            path.with_name(f"{stem}{time}Z{part}").unlink(missing_ok=True)
    return aside


class Ballast:
    """Room that is given up when the disk is full: without any, not even deleting is possible."""

    _BYTES = 4 * 2**20

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self) -> None:
        """Where the disk has plenty left."""
        with contextlib.suppress(OSError):
            if self._path.exists():
                return
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < 4 * self._BYTES:
                return
            file = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.posix_fallocate(file, 0, self._BYTES)
            finally:
                os.close(file)

    def release(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
