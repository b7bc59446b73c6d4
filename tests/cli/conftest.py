"""The command line against an API that listens, over a real novacron-store."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from a2wsgi import WSGIMiddleware

from cli.ordering import Ordering, Served
from cli.runs import Ended, Novacron
from command_service import CommandService
from command_world import World, commands_of
from enrolments import enrolment_of
from fleet_samples import HOSTILE_NAME, SampleFleet, stored_fleet
from free_ports import free_port
from novacron_cli.main import main
from novacron_collector.api.app import create_app
from novacron_collector.api.services import Services
from novacron_contract.access import Role
from novacron_store.state import Agents, Inventory, migrate, open_state
from novacron_store.telemetry.client import per_thread
from principals import access_of
from store_process import StoreProcess


@pytest.fixture(scope="session")
def fleet(store_process: StoreProcess) -> SampleFleet:
    client = store_process.service()
    fleet = stored_fleet(client)
    client.close()
    return fleet


@pytest.fixture(scope="session")
def url(
    store_process: StoreProcess, fleet: SampleFleet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """An API whose VM `web` has a name that attacks terminals."""
    engine = open_state(f"sqlite:///{tmp_path_factory.mktemp('state')}/state.db")
    migrate(engine)
    access = access_of(engine)
    services = Services(
        inventory=Inventory(engine),
        agents=Agents(engine),
        enrolment=enrolment_of(engine),
        access=access,
        commands=commands_of(engine, access, now=lambda: fleet.now),
        telemetry=per_thread(store_process.service),
        reader=per_thread(store_process.reader),
        version="0.1.0",
        started=fleet.now - timedelta(hours=3),
        now=lambda: fleet.now,
    )
    fleet.fill(services.inventory, services.agents, web_name=HOSTILE_NAME)
    with serving(services) as address:
        yield address
    engine.dispose()


@contextmanager
def serving(services: Services) -> Iterator[str]:
    port = free_port()
    app = WSGIMiddleware(create_app(services))  # type: ignore[arg-type]  # Flask's own WSGI types
    config = uvicorn.Config(app, port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    """Begin a collector with agents that take commands, asked by an operator."""
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    migrate(engine)
    with ExitStack() as stack:

        def begin(*hosts: int, role: Role = Role.OPERATOR, **options: Any) -> Ordering:
            world = World(engine)
            for number, vms in enumerate(hosts):
                world.add_host(vms, team=("db", "web")[number % 2])
            service = CommandService(world, **options)
            stack.enter_context(service.running())
            monkeypatch.setenv("NOVACRON_URL", service.url)
            ordering = Ordering(service, {}, capsys, monkeypatch)
            ordering.as_role(role)
            return ordering

        yield begin
    engine.dispose()


@pytest.fixture
def novacron(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Novacron:
    """Run `novacron` with these words."""
    monkeypatch.setenv("NOVACRON_URL", url)

    def run(*words: str) -> Ended:
        code = main(words)
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    return run
