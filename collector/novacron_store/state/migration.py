"""Numbered migrations of the state database, by Alembic, from inside the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from novacron_contract.errors import ConfigError
from novacron_store.state.database import reading, safe_url, writing

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 0x6E6F7661  # "nova": one migration at a time, whoever starts it


def migrate(engine: Engine, upto: str = "head") -> str:
    """Bring the schema to this program's version, which is returned. Doing it twice is harmless.
    `upto`: to an older one, for rows of that time.

    Raises:
        ConfigError: the schema, or `upto`, is newer than this program.
        Unavailable: the database does not answer.
    """
    config = _config()
    if upto != "head" and upto not in _known():
        raise ConfigError(f"schema {upto[:40]!r} is newer than this program's {_head()}")
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _refuse_newer(engine, connection)
        config.attributes["connection"] = connection
        command.upgrade(config, upto)
        return revision(connection) or ""


def require_current(engine: Engine) -> None:
    """For a program that reads the state and leaves migrating to others.

    Raises:
        ConfigError: the schema is older or newer than this program.
        Unavailable: the database does not answer.
    """
    with reading(engine) as connection:
        _refuse_newer(engine, connection)
        current = revision(connection)
    if current != _head():
        raise ConfigError(
            f"{safe_url(engine)}: its schema is {current or 'missing'}, this program needs "
            f"{_head()}: run `novacron migrate`"
        )


def _refuse_newer(engine: Engine, connection: Connection) -> None:
    current = revision(connection)
    if current is not None and current not in _known():
        raise ConfigError(
            f"{safe_url(engine)}: its schema {current} is newer than this program's {_head()}: "
            "start the newer NovaCron, or restore the backup made before it"
        )


def revision(connection: Connection) -> str | None:
    """Of the schema that is there; None: there is none."""
    return MigrationContext.configure(connection).get_current_revision()


def _known() -> set[str]:
    return {script.revision for script in _scripts().walk_revisions()}


def _head() -> str:
    return _scripts().get_current_head() or ""


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
