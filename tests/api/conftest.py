"""The API over both state databases and a real novacron-store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from clickhouse_connect.driver.client import Client
from flask.testing import FlaskClient
from sqlalchemy import Engine

from command_world import commands_of
from enrolments import enrolment_of
from fleet_samples import SampleFleet, stored_fleet
from novacron_collector.api.app import create_app
from novacron_collector.api.services import Services
from novacron_store.state import Agents, Inventory
from novacron_store.telemetry.client import per_thread
from principals import access_of
from store_process import StoreProcess


@pytest.fixture(scope="session")
def telemetry(store_process: StoreProcess) -> Iterator[Client]:
    client = store_process.service()
    yield client
    client.close()


@pytest.fixture(scope="session")
def fleet(telemetry: Client) -> SampleFleet:
    return stored_fleet(telemetry)


@pytest.fixture
def services(
    engine: Engine, telemetry: Client, store_process: StoreProcess, fleet: SampleFleet
) -> Services:
    access = access_of(engine)
    return Services(
        inventory=Inventory(engine),
        agents=Agents(engine),
        enrolment=enrolment_of(engine),
        access=access,
        commands=commands_of(engine, access, now=lambda: fleet.now),
        telemetry=lambda: telemetry,
        reader=per_thread(store_process.reader),
        version="0.1.0",
        started=fleet.now - timedelta(hours=1),
        counters=lambda: {"ingest.points": 12.0},
        now=lambda: fleet.now,
    )


@pytest.fixture
def filled(services: Services, fleet: SampleFleet) -> Services:
    fleet.fill(services.inventory, services.agents)
    return services


@pytest.fixture
def http(filled: Services) -> FlaskClient:
    return create_app(filled).test_client()


@pytest.fixture
def http_with(filled: Services) -> Callable[..., FlaskClient]:
    """The same, with other collaborators."""
    return lambda **changes: create_app(replace(filled, **changes)).test_client()
