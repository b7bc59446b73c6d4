"""A small fleet in a real store, and a real novacron-ui on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import pytest

from browser import HOSTILE
from fleet_samples import SampleFleet, stored_fleet
from free_ports import free_port
from live_feed import LiveFeed
from novacron_contract.access import Role
from novacron_store.state import Agents, migrate, open_state
from novacron_store.telemetry import migrations
from principals import signed_in
from store_process import StoreProcess
from ui_collector import UiCollector
from ui_world import Settings, World, novacron_ui


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
def orders(world: World, fleet: SampleFleet) -> Iterator[UiCollector]:
    """A collector with users, where anybody on this machine may read."""
    with running(UiCollector(free_port(), world=world)) as collector:
        collector.states |= {fleet.web: "running", fleet.db: "running", fleet.idle: "stopped"}
        for name, role in (("ann", Role.OPERATOR), ("vic", Role.VIEWER), ("root", Role.ADMIN)):
            collector.add_user(name, role)
        yield collector


@pytest.fixture(scope="module")
def ordering(
    world: World, orders: UiCollector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a novacron-ui on `orders`."""
    with novacron_ui(world, orders.url, tmp_path_factory.mktemp("ui")) as url:
        yield url


@pytest.fixture(scope="module")
def closed(world: World, orders: UiCollector) -> Iterator[UiCollector]:
    """A collector with the same users, where nobody may read without one."""
    with running(UiCollector(free_port(), world=world, anonymous=False)) as collector:
        yield collector


@pytest.fixture(scope="module")
def closed_ui(
    world: World, closed: UiCollector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("closed")
    token = folder / "token"
    token.write_text(signed_in(world.state, Role.VIEWER)["Authorization"].removeprefix("Bearer "))
    settings = Settings(collector=f'token_file = "{token}"')
    with novacron_ui(world, closed.url, folder, settings) as url:
        yield url


@contextmanager
def running(collector: UiCollector) -> Iterator[UiCollector]:
    collector.start()
    yield collector
    collector.stop()


@pytest.fixture(scope="module")
def ui(world: World, feed: LiveFeed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a novacron-ui on `world`."""
    with novacron_ui(world, f"http://127.0.0.1:{feed.port}", tmp_path_factory.mktemp("ui")) as url:
        yield url
