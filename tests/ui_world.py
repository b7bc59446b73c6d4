"""What a novacron-ui reads, and a real novacron-ui process on it."""

from __future__ import annotations

import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client
from sqlalchemy import Engine

from free_ports import free_port
from live_feed import wait_until
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


@dataclass(frozen=True)
class Settings:
    """What a ui.toml has beside the world: lines of [ui] and [collector], and tables."""

    address: str = "127.0.0.1"
    port: int = 0  # 0: a free one
    scheme: str = "http"
    ui: str = ""
    collector: str = ""
    tables: str = ""


@contextmanager
def novacron_ui(
    world: World, collector: str, folder: Path, settings: Settings | None = None
) -> Iterator[str]:
    """Run one in `folder`; its URL."""
    more = settings or Settings()
    port = more.port or free_port()
    config = folder / "ui.toml"
    config.write_text(
        f'[ui]\nlisten = "{more.address}:{port}"\n{more.ui}\n[state]\nurl = "{world.state_url}"\n'
        f'[telemetry]\nurl = "{world.url}"\npassword_file = "{world.password_file}"\n'
        f'database = "{world.database}"\n[collector]\nurl = "{collector}"\n'
        f"{more.collector}\n{more.tables}\n"
    )
    command = [str(Path(sys.executable).with_name("novacron-ui")), "--config", str(config)]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        url = f"{more.scheme}://127.0.0.1:{port}"
        try:
            wait_until(lambda: _answers(f"{url}/healthz"), 60)
            yield url
        finally:
            process.terminate()
    assert process.returncode == 0, "a stop that was asked for is no failure"


def _answers(url: str) -> bool:
    context = ssl._create_unverified_context() if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(url, timeout=1, context=context):
            return True
    except urllib.error.HTTPError as err:
        with err:
            return err.code == 403  # by this name it tells nothing, but it runs
    except OSError:
        return False
