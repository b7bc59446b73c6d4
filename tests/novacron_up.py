"""Fixture: `novacron up` as a user runs it, on free ports and in folders of its own."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

NOVACRON = str(Path(sys.executable).with_name("novacron"))
PORTS = (8123, 4317, 4318, 8440, 8050, 8441)


def free_offset() -> int:
    for offset in random.sample(range(1000, 24_000), 200):
        if all(is_free(port + offset) for port in PORTS):
            return offset
    raise AssertionError("no room for six ports")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def processes_of(folder: Path) -> list[str]:
    """Command lines that name the folder: every program `up` starts is told about it."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


@dataclass
class Up:
    folder: Path
    offset: int
    process: subprocess.Popen[str]

    @property
    def arguments(self) -> list[str]:
        return ["--data", str(self.folder / "data"), "--lab-dir", str(self.folder / "lab")]

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    def api(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{8440 + self.offset}{path}", timeout=5)

    def wait_for(self, condition: Callable[[], object], timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)

    def pid_of(self, name: str) -> int:
        log = f"{self.folder}/data/config/{name}.toml"
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if log.encode() in file.read_bytes().split(b"\0"):
                    return int(file.parent.name)
            except OSError:
                continue
        raise AssertionError(f"{name} does not run")


@pytest.fixture
def start_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*options: str) -> Up:
        folder, offset = tmp_path_factory.mktemp("up"), free_offset()
        with (folder / "output").open("w") as output:
            command = [NOVACRON, "up", "--data", f"{folder}/data", "--lab-dir", f"{folder}/lab"]
            process = subprocess.Popen(
                [*command, "--port-offset", str(offset), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        started.append(Up(folder, offset, process))
        return started[-1]

    yield start
    for up in started:
        if up.process.poll() is None:
            up.process.terminate()
            up.process.wait(60)
        subprocess.run([NOVACRON, "down", *up.arguments], check=False, capture_output=True)
