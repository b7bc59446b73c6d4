"""Fixtures: the state database, on SQLite and PostgreSQL in turn."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, create_engine, text

from novacron_store.state import migrate, open_state
from postgresql import private_cluster

_PATTERN = "migrated"  # a database of the cluster, of which others are copies


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    with private_cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def state_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def empty_url(state_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database in which nothing is."""
    if state_kind == "sqlite":
        yield f"sqlite:///{tmp_path}/state.db"
        return
    with _database(request.getfixturevalue("cluster"), "template1") as url:
        yield url


@pytest.fixture
def engine(state_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database of this release's schema: a copy, as it takes time to make it."""
    if state_kind == "sqlite":
        shutil.copyfile(request.getfixturevalue("migrated_file"), tmp_path / "state.db")
        engine = open_state(f"sqlite:///{tmp_path}/state.db")
        yield engine
        engine.dispose()
        return
    with _database(request.getfixturevalue("migrated_cluster"), _PATTERN) as url:
        engine = open_state(url)
        yield engine
        engine.dispose()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("migrated") / "state.db"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_cluster(cluster: str) -> str:
    _ask(cluster, f"CREATE DATABASE {_PATTERN}")
    _migrate(_url(cluster, _PATTERN))
    return cluster


def _migrate(url: str) -> None:
    engine = open_state(url)
    migrate(engine)
    engine.dispose()


@contextmanager
def _database(cluster: str, pattern: str) -> Iterator[str]:
    """The URL of a copy of `pattern`."""
    name = f"test_{uuid4().hex}"
    _ask(cluster, f"CREATE DATABASE {name} TEMPLATE {pattern}")
    yield _url(cluster, name)
    _ask(cluster, f"DROP DATABASE {name} WITH (FORCE)")


def _url(cluster: str, name: str) -> str:
    return cluster.replace("/postgres?", f"/{name}?")


def _ask(cluster: str, statement: str) -> None:
    server = create_engine(cluster, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(statement))
    server.dispose()
