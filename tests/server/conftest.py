"""novacron-store with a few machines' samples, and things a reader must never see."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.client import Client

from novacron_store.telemetry.writer import write
from store.batches import Line, at, batch, counter
from store_process import StoreProcess

CANARY = "CANARY-7f3a"


@dataclass(frozen=True)
class Asker:
    """Sends plain HTTP as one of the two principals."""

    http: httpx.Client

    def ask(self, query: str | bytes, /, **parameters: str | int) -> httpx.Response:
        return self.http.post("/", content=query, params=parameters)


def asker(url: str, user: str, password: str) -> Asker:
    return Asker(httpx.Client(base_url=url, auth=(user, password), timeout=60))


def as_it_comes(store: StoreProcess, *, compress: bool = True) -> Client:
    """clickhouse-connect as others open it: with a session of its own, asking for compression."""
    host, port = store.url.removeprefix("http://").split(":")
    return clickhouse_connect.get_client(
        host=host,
        port=int(port),
        username="service",
        password=store.service_password_file.read_text(),
        compress=compress,
    )


@pytest.fixture(scope="session")
def service(store_process: StoreProcess) -> Iterator[Asker]:
    password = store_process.service_password_file.read_text()
    one = asker(store_process.url, "service", password)
    with one.http:
        yield one


@pytest.fixture(scope="session")
def reader(store_process: StoreProcess) -> Iterator[Asker]:
    one = asker(store_process.url, "reader", store_process.reader_password_file.read_text())
    with one.http:
        yield one


@pytest.fixture(scope="session")
def filled(store_process: StoreProcess) -> Iterator[Client]:
    """Three VMs with a CPU gauge and a network counter, once an interval for ten minutes."""
    client = store_process.service()
    now = time.time() // 60 * 60
    times = [now - 600 + 10 * n for n in range(61)]
    lines, resources = [], {}
    for number in range(3):
        vm = f"canteen-{number}"
        resources[vm] = {"vm.id": vm, "vm.name": f"web-{number}"}
        lines.append(Line("vm.cpu.utilization", vm, [(t, 0.1 + number / 5) for t in times]))
        lines.append(counter("vm.network.io", vm, [(t, 9 * n) for n, t in enumerate(times)]))
    write(client, batch(lines, resources), "canteen", at(now))
    yield client
    client.close()


@pytest.fixture(scope="session")
def canary_file(service: Asker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file, and tables in two databases, whose content is the canary, and stays it."""
    for statement in (
        "CREATE TABLE IF NOT EXISTS novacron.data_canary (secret String) "
        "ENGINE = MergeTree ORDER BY secret",
        f"INSERT INTO novacron.data_canary SELECT '{CANARY}'",
        "CREATE DATABASE IF NOT EXISTS private",
        "CREATE TABLE private.secrets (secret String) ENGINE = MergeTree ORDER BY secret",
        f"INSERT INTO private.secrets SELECT '{CANARY}'",
    ):
        service.ask(statement).raise_for_status()
    file = tmp_path_factory.mktemp("canary") / "file"
    file.write_text(CANARY + "\n")
    yield file
    for table in ("novacron.data_canary", "private.secrets"):
        assert service.ask(f"SELECT * FROM {table}").text == CANARY + "\n"
    assert file.read_text() == CANARY + "\n"
    service.ask("DROP TABLE novacron.data_canary").raise_for_status()
