"""What a novacron-ui reads, and a real novacron-ui process on it."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client
from sqlalchemy import Engine

from live_feed import free_port, wait_until
from novacron_store.state import Inventory
from novacron_store.telemetry.client import connect


@dataclass(frozen=True)
class World:
    """What the UI reads: a telemetry database of its own, and a state database."""

    url: str
    password_file: Path
    database: str
    state_url: str
    state: Engine

    def client(self) -> Client:
        password = self.password_file.read_text()
        return connect(self.url, user="service", password=password, database=self.database)

    @property
    def inventory(self) -> Inventory:
        return Inventory(self.state)


@contextmanager
def novacron_ui(world: World, collector: str, folder: Path) -> Iterator[str]:
    """Run one in `folder`; its URL."""
    port = free_port()
    config = folder / "ui.toml"
    config.write_text(
        f'[ui]\nlisten = "127.0.0.1:{port}"\n[state]\nurl = "{world.state_url}"\n'
        f'[telemetry]\nurl = "{world.url}"\npassword_file = "{world.password_file}"\n'
        f'database = "{world.database}"\n[collector]\nurl = "{collector}"\n'
    )
    command = [str(Path(sys.executable).with_name("novacron-ui")), "--config", str(config)]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: _answers(f"{url}/healthz"), 60)
            yield url
        finally:
            process.terminate()
    assert process.returncode == 0, "a stop that was asked for is no failure"


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=1):
        return True
    return False
