"""The schema: made once, the same as the tables in the code, never read by an older program."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text

from novacron_contract.errors import ConfigError, Unavailable
from novacron_store.state import Inventory, migrate, open_state, require_current
from novacron_store.state.tables import metadata

HEAD = "0006"


def test_migrated_schema_is_that_of_the_code(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    assert migrate(engine) == migrate(engine) == HEAD
    require_current(engine)


def test_programs_that_start_together_migrate_once(empty_url: str) -> None:
    engines = [open_state(empty_url) for _ in range(4)]
    versions: list[str] = []
    threads = [
        threading.Thread(target=lambda engine=engine: versions.append(migrate(engine)))
        for engine in engines
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in engines:
        engine.dispose()
    assert versions == [HEAD] * 4


def test_schema_of_a_newer_program_is_refused_in_one_sentence(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for check in (migrate, require_current):
        with pytest.raises(ConfigError, match=f"schema 9999 is newer than this program's {HEAD}"):
            check(engine)


def test_reader_of_an_unmigrated_database_is_told_to_migrate(empty_url: str) -> None:
    engine = open_state(empty_url)
    with pytest.raises(ConfigError, match="run `novacron migrate`"):
        require_current(engine)
    with pytest.raises(Unavailable, match="run `novacron migrate`"):
        Inventory(engine).hosts()
    engine.dispose()


def test_failed_migration_leaves_nothing_behind(empty_url: str) -> None:
    engine = open_state(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE agents (other INTEGER)"))
    with pytest.raises(Unavailable, match="agents"):
        migrate(engine)
    assert inspect(engine).get_table_names() == ["agents"]
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://host/db", "expected sqlite:"),
        ("nonsense", "expected sqlite:"),
        ("sqlite://", "no file"),
        ("sqlite:////no/such/folder/state.db", "the folder /no/such/folder does not exist"),
    ],
)
def test_wrong_url_is_explained(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_state(url)


def test_unreachable_server_is_explained_without_its_password() -> None:
    engine = open_state("postgresql+psycopg://novacron:geheim@127.0.0.1:1/novacron")
    with pytest.raises(Unavailable, match="does not answer") as raised:
        Inventory(engine).hosts()
    assert "geheim" not in str(raised.value)
    engine.dispose()


def test_sqlite_is_durable_and_lets_readers_read(tmp_path: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    with engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 10000,
    }
