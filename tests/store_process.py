"""Fixture: one novacron-store for the session, with the schema migrated."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from free_ports import free_port
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate

_START_S = 60


@dataclass(frozen=True)
class StoreProcess:
    """Passwords are in the files, as the components read them."""

    url: str
    service_password_file: Path
    reader_password_file: Path

    def service(self) -> Client:
        return connect(self.url, user="service", password=self.service_password_file.read_text())

    def reader(self) -> Client:
        return connect(self.url, user="reader", password=self.reader_password_file.read_text())


@pytest.fixture(scope="session")
def store_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    folder = tmp_path_factory.mktemp("store")
    port = free_port()
    store = StoreProcess(f"http://127.0.0.1:{port}", folder / "service", folder / "reader")
    store.service_password_file.write_text("service-secret")
    store.reader_password_file.write_text("reader-secret")
    config = folder / "store.toml"
    config.write_text(
        f'[store]\npath = "{folder}/data"\nlisten = "127.0.0.1:{port}"\n'
        f'service_password_file = "{folder}/service"\nreader_password_file = "{folder}/reader"\n'
        "[limits]\nresult_rows = 3000\n"
    )
    command = [str(Path(sys.executable).with_name("novacron-store")), "--config", str(config)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log)
        try:
            _wait(f"{store.url}/ping", process, folder / "log")
            client = store.service()
            migrate(client)
            client.close()
            yield store
        finally:
            process.terminate()
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"novacron-store did not start:\n{log.read_text()}")
