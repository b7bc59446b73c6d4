"""novacron-store and novacron-collector as processes that are killed and started again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from clickhouse_connect.driver.client import Client

from free_ports import free_port
from novacron_store.telemetry.client import connect

_START_S = 90
_STOP_S = 60
_SECRET = "chaos-secret"


@dataclass
class Program:
    """`ready` is a URL that answers 200 once it can be used. Its errors go to `log`."""

    name: str
    config: Path
    ready: str
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert not self.running(), f"{self.name} runs already"
        command = [str(Path(sys.executable).with_name(self.name)), "--config", str(self.config)]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **self.environment}
            )

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """kill -9: nothing is flushed, nobody is told."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(_STOP_S)

    def is_ready(self) -> bool:
        try:
            return httpx.get(self.ready, timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def wait(self, limit_s: float = _START_S) -> None:
        """Until it is ready.

        Raises:
            AssertionError: it ended, or took longer.
        """
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline and self.running():
            if self.is_ready():
                return
            time.sleep(0.1)
        raise AssertionError(f"{self.name} did not get ready:\n{self.last_words()}")

    def last_words(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-30:])


@dataclass(frozen=True)
class Collector:
    """`grpc`, `http` and `api` are HOST:PORT; `wal` is the folder of its log."""

    program: Program
    grpc: str
    http: str
    api: str
    wal: Path

    def segments(self) -> list[Path]:
        """The files that are not in the store yet, oldest first."""
        return sorted(self.wal.glob("*.seg"))

    def status(self) -> dict[str, Any]:
        """What `novacron status --json` prints."""
        answer = httpx.get(f"http://{self.api}/v1/status", timeout=30)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def notices(self) -> str:
        """What an operator is told to see to."""
        return " ".join(notice["message"] for notice in self.status()["notices"])


@dataclass(frozen=True)
class System:
    """A store, and collectors that write to it."""

    store: Program
    store_url: str
    collectors: tuple[Collector, ...]

    @property
    def programs(self) -> tuple[Program, ...]:
        return (self.store, *(collector.program for collector in self.collectors))

    def client(self) -> Client:
        return connect(self.store_url, user="service", password=_SECRET)

    def start(self) -> None:
        for program in self.programs:
            program.start()
            program.wait()

    def end(self) -> None:
        """Whatever still runs is killed: a test that ends leaves no process behind."""
        for program in self.programs:
            program.kill()


MakeSystem = Callable[..., System]


def system(
    folder: Path,
    collectors: int = 1,
    environment: Mapping[str, str] | None = None,
    *,
    data: Path | None = None,
    wal: Path | None = None,
    keep_free: str = "1MiB",
) -> System:
    """Configured in `folder`, not yet started.

    `environment` is the collectors' own; `data` and `wal` are the folders of the store and of the
    (only) collector's log, where these are not in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "password").write_text(_SECRET)
    store_address = _address()
    config = folder / "store.toml"
    config.write_text(
        f'[store]\npath = "{data or folder / "data"}"\nlisten = "{store_address}"\n'
        'keep_free = "64MiB"\n'
        f'service_password_file = "{folder}/password"\n'
        f'reader_password_file = "{folder}/password"\n'
    )
    url = f"http://{store_address}"
    store = Program("novacron-store", config, f"{url}/ping", folder / "store.log")
    made = (
        _collector(folder, n, url, environment or {}, (wal or folder / f"wal-{n}", keep_free))
        for n in range(collectors)
    )
    return System(store, url, tuple(made))


def _collector(
    folder: Path, number: int, store: str, environment: Mapping[str, str], log: tuple[Path, str]
) -> Collector:
    grpc, http, api, agents = (_address() for _ in range(4))
    config = folder / f"collector-{number}.toml"
    config.write_text(
        f'[telemetry]\nurl = "{store}"\npassword_file = "{folder}/password"\n'
        f'reader_password_file = "{folder}/password"\n'
        f'[state]\nurl = "sqlite:///{folder}/state.db"\n'
        f'[listen]\notlp_grpc = "{grpc}"\notlp_http = "{http}"\napi = "{api}"\n'
        f'agents = "{agents}"\n'
        f'[wal]\npath = "{log[0]}"\nkeep_free = "{log[1]}"\n'
    )
    program = Program(
        "novacron-collector",
        config,
        f"http://{api}/healthz",
        folder / f"collector-{number}.log",
        environment,
    )
    return Collector(program, grpc, http, api, log[0])


def _address() -> str:
    return f"127.0.0.1:{free_port()}"
