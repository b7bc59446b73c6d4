"""novacron-store with a few machines' samples, and things a reader must never see."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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

    url: str
    user: str
    password: str

    def ask(self, query: str | bytes, **parameters: str) -> httpx.Response:
        return httpx.post(
            self.url,
            content=query,
            params=parameters,
            auth=(self.user, self.password),
            timeout=60,
        )


@pytest.fixture(scope="session")
def service(store_process: StoreProcess) -> Asker:
    password = store_process.service_password_file.read_text()
    return Asker(store_process.url, "service", password)


@pytest.fixture(scope="session")
def reader(store_process: StoreProcess) -> Asker:
    return Asker(store_process.url, "reader", store_process.reader_password_file.read_text())


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
def canary_file(service: Asker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file, and tables in two databases, whose content is the canary."""
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
    return file
