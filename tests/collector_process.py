"""Fixture: one novacron-collector for the session, before the session's store."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from free_ports import free_port
from store_process import StoreProcess

_START_S = 60


@dataclass(frozen=True)
class CollectorProcess:
    """Where it listens: `grpc` is HOST:PORT, the others are URLs."""

    grpc: str
    http: str
    api: str
    pid: int = 0


@pytest.fixture(scope="session")
def collector_process(
    store_process: StoreProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CollectorProcess]:
    with collector(store_process, tmp_path_factory.mktemp("collector")) as process:
        yield process


@contextmanager
def collector(
    store_process: StoreProcess, folder: Path, settings: str = ""
) -> Iterator[CollectorProcess]:
    """One of its own; `settings` are further tables."""
    grpc, http, api, agents = (f"127.0.0.1:{free_port()}" for _ in range(4))
    config = folder / "collector.toml"
    config.write_text(
        f'[telemetry]\nurl = "{store_process.url}"\n'
        f'password_file = "{store_process.service_password_file}"\n'
        f'reader_password_file = "{store_process.reader_password_file}"\n'
        f'[state]\nurl = "sqlite:///{folder}/state.db"\n'
        f'[wal]\npath = "{folder}/wal"\nwrite_every = "50ms"\n'
        f'[listen]\notlp_grpc = "{grpc}"\notlp_http = "{http}"\napi = "{api}"\n'
        f'agents = "{agents}"\n'
        f"{settings}"
    )
    command = [str(Path(sys.executable).with_name("novacron-collector")), "--config", str(config)]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            _wait(f"http://{api}/readyz", process, folder / "log")
            yield CollectorProcess(grpc, f"http://{http}", f"http://{api}", process.pid)
        finally:
            process.terminate()
    assert process.returncode == 0, "a stop that was asked for is no failure"


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"novacron-collector did not start:\n{log.read_text()}")
