"""Changes of commands come one after another, over several collectors too."""

from __future__ import annotations

from sqlalchemy import Connection, text

_LOCK = 0x6E6F7662  # beside that of migrations


def one_after_another(connection: Connection) -> None:
    """Until the transaction ends; on SQLite who writes is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
