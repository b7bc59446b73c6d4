"""Opening the state database, and its transactions, alike on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from novacron_contract.errors import ConfigError, NovaCronError, Unavailable

BUSY_TIMEOUT_S = 10
_FORMS = "sqlite:////path/state.db or postgresql+psycopg://user:password@host/database"
_WRITES = {"novacron_writes": True}


def open_state(url: str) -> Engine:
    """The state database at `url`. Nothing is created in it before `migrate`.

    Raises:
        ConfigError: the URL is neither of the two forms, or its folder does not exist.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as err:
        raise ConfigError(f"[state] url: expected {_FORMS}") from err
    if parsed.drivername == "sqlite":
        return _open_sqlite(parsed)
    if parsed.drivername == "postgresql+psycopg":
        options = {"connect_timeout": "5", "application_name": "novacron"}
        return create_engine(parsed, pool_pre_ping=True, connect_args=options)
    raise ConfigError(f"[state] url: expected {_FORMS}, got {parsed.drivername}:…")


def safe_url(engine: Engine) -> str:
    """The URL without its password, for messages."""
    return engine.url.render_as_string(hide_password=True)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: it waits for no writer.

    Raises:
        Unavailable: the database does not answer.
    """
    with _explained(engine), engine.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes, committed at the end.

    Raises:
        Unavailable: the database does not answer, is locked for long, or its disk is full.
    """
    with _explained(engine), engine.execution_options(**_WRITES).begin() as connection:
        yield connection


def _open_sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError(f"[state] url: expected {_FORMS}; it has no file")
    folder = Path(url.database).absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"[state] url: the folder {folder} does not exist: create it first")
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN leaves DDL and SELECT outside
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Programs that open a new file at the same time meet here: SQLite lets one of them change the
    mode and tells the others at once that it is locked, whatever the timeout."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as err:
            if err.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns writer meets SQLITE_BUSY at once, whatever the timeout: writers say so.
    writes = connection.get_execution_options().get("novacron_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _explained(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as err:
        raise _sentence(engine, err.orig) from err
    except SQLAlchemyError as err:  # such as: no connection of the pool came free
        raise _sentence(engine, err) from err


def _sentence(engine: Engine, cause: Any) -> NovaCronError:
    where = safe_url(engine)
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    reason = lines[0]
    if "full" in reason or "No space left" in reason:
        return Unavailable(f"{where}: its disk is full: free some space ({reason})")
    if "locked" in reason:
        return Unavailable(f"{where}: another process keeps it locked ({reason})")
    if "no such table" in reason or ("does not exist" in reason and "relation" in reason):
        return Unavailable(f"{where}: it has no tables yet: run `novacron migrate`")
    return Unavailable(f"{where}: the state database does not answer: {reason}")
