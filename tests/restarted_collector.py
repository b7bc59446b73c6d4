"""A novacron-collector that can be killed and started again with the same settings and data."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from free_ports import free_port
from store_process import StoreProcess

_START_S = 60


@dataclass
class RestartedCollector:
    folder: Path
    store: StoreProcess
    write_every: str = "50ms"
    agents: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    otlp_http: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    api: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    otlp_grpc: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it is ready."""
        config = self.folder / "collector.toml"
        config.write_text(self._config())
        program = Path(sys.executable).with_name("novacron-collector")
        with (self.folder / "collector.log").open("a") as log:
            self._process = subprocess.Popen([program, "--config", config], stderr=log)
        deadline = time.monotonic() + _START_S
        while not self._ready():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def kill(self) -> None:
        """As a crash ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log(self) -> str:
        return (self.folder / "collector.log").read_text()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.api}/readyz", timeout=1):
                return True
        except OSError:
            return False

    def _config(self) -> str:
        return (
            f'[telemetry]\nurl = "{self.store.url}"\n'
            f'password_file = "{self.store.service_password_file}"\n'
            f'[state]\nurl = "sqlite:///{self.folder}/state.db"\n'
            f'[wal]\npath = "{self.folder}/wal"\nwrite_every = "{self.write_every}"\n'
            f'[listen]\notlp_grpc = "{self.otlp_grpc}"\notlp_http = "{self.otlp_http}"\n'
            f'api = "{self.api}"\nagents = "{self.agents}"\n'
        )
