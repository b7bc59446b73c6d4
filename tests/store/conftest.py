"""A telemetry database of its own for each test, on one engine: chDB opens one folder a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate


@pytest.fixture(scope="session")
def engine_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("chdb")
    url = f"chdb://{folder}"
    keeps_the_engine_open = connect(url)
    yield url
    keeps_the_engine_open.close()


@pytest.fixture
def empty(engine_url: str) -> Iterator[Client]:
    """A client whose database does not exist yet."""
    client = connect(engine_url, database=f"novacron_{uuid4().hex}")
    yield client
    client.command(f"DROP DATABASE IF EXISTS {client.database}", use_database=False)
    client.close()


@pytest.fixture
def store(empty: Client) -> Client:
    """A client of a migrated, empty database."""
    migrate(empty)
    return empty
