"""What a full disk and a locked file look like to the caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from novacron_contract.errors import Unavailable
from novacron_store.state import Agent, Agents, Inventory, Vm, migrate, open_state

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
OpenWith = Callable[[str], Engine]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    migrate(engine)
    engine.dispose()
    return tmp_path / "state.db"


@pytest.fixture
def open_with(path: Path) -> Iterator[OpenWith]:
    """The database with one more setting on each connection."""
    engines: list[Engine] = []

    def open_it(pragma: str) -> Engine:
        engine = open_state(f"sqlite:///{path}")
        event.listen(engine, "connect", lambda connection, _: connection.execute(pragma))
        engines.append(engine)
        return engine

    yield open_it
    for engine in engines:
        engine.dispose()


def test_full_disk_is_said_and_nothing_is_half_written(open_with: OpenWith) -> None:
    inventory = Inventory(open_with("PRAGMA max_page_count = 30"))
    with pytest.raises(Unavailable, match="its disk is full: free some space"):
        inventory.see_vms([Vm(f"vm-{n}", "x" * 1000, "h", NOW, NOW) for n in range(200)])
    assert inventory.vms() == []


def test_file_that_stays_locked_is_said(open_with: OpenWith, path: Path) -> None:
    agents = Agents(open_with("PRAGMA busy_timeout = 50"))
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="another process keeps it locked"):
        agents.see(Agent("a", "h", "0", 10, None, NOW))
    assert agents.all() == []  # readers do not wait
    other.rollback()
    other.close()
    agents.see(Agent("a", "h", "0", 10, None, NOW))


def test_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("not a database " * 100)
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    with pytest.raises(Unavailable, match="file is not a database"):
        Inventory(engine).vms()
    engine.dispose()
