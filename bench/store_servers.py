"""novacron-store and VictoriaMetrics as processes, and the CPU that a question takes of them."""

from __future__ import annotations

import shutil
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client

from novacron_store.telemetry.client import connect
from program import Program, free_port, running

_SECRET = "bench"
_PEER = "victoria-metrics"


@dataclass(frozen=True, slots=True)
class Store:
    process: Program
    client: Client


@dataclass(frozen=True, slots=True)
class Peer:
    process: Program
    url: str
    folder: Path

    def size(self) -> int:
        """Bytes of its data and its index."""
        files = (path for part in ("data", "indexdb") for path in (self.folder / part).rglob("*"))
        return sum(path.stat().st_size for path in files if path.is_file())


@contextmanager
def store(folder: Path) -> Iterator[Store]:
    """It works in `folder`, which is there, and has no store yet."""
    address = f"127.0.0.1:{free_port()}"
    (folder / "password").write_text(_SECRET)
    password = f'"{folder}/password"'
    config = folder / "store.toml"
    config.write_text(
        f'[store]\npath = "{folder}/data"\nlisten = "{address}"\n'
        f"service_password_file = {password}\nreader_password_file = {password}\n"
    )
    program = Path(sys.executable).with_name("novacron-store")
    url = f"http://{address}"
    with running([str(program), "--config", str(config)], f"{url}/ping", folder) as process:
        client = connect(url, user="service", password=_SECRET, timeout=600)
        yield Store(process, client)
        client.close()


@contextmanager
def victoria(folder: Path) -> Iterator[Peer]:
    """
    Raises:
        SystemExit: it is not installed.
    """
    program = shutil.which(_PEER)
    if program is None:
        raise SystemExit(f"\nthe peer is not installed: apt-get install {_PEER}")
    address = f"127.0.0.1:{free_port()}"
    command = [
        program, f"-storageDataPath={folder}/peer", f"-httpListenAddr={address}",
        "-retentionPeriod=2", "-search.latencyOffset=0s",
    ]  # fmt: skip
    url = f"http://{address}"
    with running(command, f"{url}/health", folder) as process:
        yield Peer(process, url, folder / "peer")


def get(url: str, body: bytes | None = None) -> str:
    with urllib.request.urlopen(url, body, timeout=300) as answer:
        return str(answer.read().decode())


class Used:
    """CPU of a server and, with `client`, of this process, since it was made."""

    def __init__(self, server: Program, client: bool = True) -> None:
        self._server = server
        self._client = client
        self._began = self._now()

    def ms(self) -> float:
        return self._now() - self._began

    def _now(self) -> float:
        mine = time.process_time() * 1000 if self._client else 0.0
        return mine + self._server.cpu_ms()


def spent(server: Program, ask: Sequence[Callable[[], object]], with_client: bool) -> float:
    """Milliseconds for one question."""
    used = Used(server, with_client)
    for question in ask:
        question()
    return used.ms() / len(ask)
