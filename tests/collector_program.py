"""A novacron-collector that a test starts, kills and starts again, always on the same ports."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from free_ports import free_port
from store_process import StoreProcess

_COMMAND = str(Path(sys.executable).with_name("novacron-collector"))
_START_S = 60


@dataclass
class CollectorProgram:
    """Without a `store` it writes to nowhere: what it acknowledges stays in its log."""

    folder: Path
    store: StoreProcess | None = None
    more: str = ""  # of collector.toml
    listen: str = ""  # of its table [listen], in place of the others
    state: str = ""  # the URL of its database; otherwise a file in `folder`
    grpc: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    http: str = field(default_factory=lambda: f"http://127.0.0.1:{free_port()}")
    api: str = field(default_factory=lambda: f"http://127.0.0.1:{free_port()}")
    agents: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "collector.toml"
        config.write_text(self._settings())
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([_COMMAND, "--config", str(config)], stderr=log)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                asked = f"{self.api}/{'readyz' if self.store else 'healthz'}"
                httpx.get(asked, verify=False).raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"novacron-collector did not start:\n{self.log}")

    def kill(self) -> None:
        """As a crash ends it."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    @property
    def state_url(self) -> str:
        return self.state or f"sqlite:///{self.folder}/state.db"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def counter(self, name: str) -> float:
        return float(httpx.get(f"{self.api}/v1/status").json()["counters"][name])

    def _end(self, number: int) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(number)
        return process.wait(60)

    def _settings(self) -> str:
        store = self.store
        telemetry = (
            f'url = "{store.url}"\npassword_file = "{store.service_password_file}"\n'
            if store
            else 'url = "http://127.0.0.1:9"\n'
        )
        listen = [f'otlp_grpc = "{self.grpc}"']
        listen += [f'agents = "{self.agents}"']
        listen += [f'{n} = "{u[7:]}"' for n, u in (("otlp_http", self.http), ("api", self.api))]
        named = {line.split(" = ")[0] for line in self.listen.splitlines()}
        listen = [line for line in listen if line.split(" = ")[0] not in named]
        listen += self.listen.splitlines()
        return "\n".join(
            [
                f"[telemetry]\n{telemetry}",
                f'[state]\nurl = "{self.state_url}"',
                f'[wal]\npath = "{self.folder}/wal"\nwrite_every = "50ms"',
                *("[listen]", *listen, self.more),
            ]
        )


@contextmanager
def collector_program(
    folder: Path,
    store: StoreProcess | None = None,
    more: str = "",
    listen: str = "",
    api: str = "",
    state: str = "",
) -> Iterator[CollectorProgram]:
    """`api`: its URL, where `listen` says another address."""
    program = CollectorProgram(folder, store, more, listen, state)
    program.api = api or program.api
    program.start()
    try:
        yield program
    finally:
        program.stop()
