"""A small fleet in a real store, and a real novacron-ui on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from browser import HOSTILE
from fleet_samples import SampleFleet, stored_fleet
from live_feed import LiveFeed, free_port
from novacron_store.state import Agents, migrate, open_state
from novacron_store.telemetry import migrations
from store_process import StoreProcess
from ui_world import World, novacron_ui


@pytest.fixture(scope="module")
def world(store_process: StoreProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    state_url = f"sqlite:///{tmp_path_factory.mktemp('state')}/state.db"
    state = open_state(state_url)
    migrate(state)
    database = f"ui_{uuid4().hex}"
    made = World(store_process.url, store_process.service_password_file, database, state_url, state)
    client = made.client()
    migrations.migrate(client)
    yield made
    client.command(f"DROP DATABASE {database}", use_database=False)
    client.close()
    state.dispose()


@pytest.fixture
def empty_world(world: World) -> Iterator[World]:
    """As `world`, with a telemetry database of its own in which nothing is."""
    made = replace(world, database=f"ui_{uuid4().hex}")
    client = made.client()
    migrations.migrate(client)
    yield made
    client.command(f"DROP DATABASE {made.database}", use_database=False)
    client.close()


@pytest.fixture(scope="module")
def fleet(world: World) -> SampleFleet:
    client = world.client()
    stored = stored_fleet(client)
    client.close()
    stored.fill(world.inventory, Agents(world.state), web_name=HOSTILE)
    return stored


@pytest.fixture(scope="module")
def feed() -> Iterator[LiveFeed]:
    feed = LiveFeed(free_port())
    feed.start()
    yield feed
    feed.stop()


@pytest.fixture(scope="module")
def ui(world: World, feed: LiveFeed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a novacron-ui on `world`."""
    with novacron_ui(world, f"http://127.0.0.1:{feed.port}", tmp_path_factory.mktemp("ui")) as url:
        yield url
