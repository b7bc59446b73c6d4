"""`novacron up`, as a user runs it: NovaCron and the lab, up, watched, down without a trace."""

from __future__ import annotations

import os
import random
import re
import signal
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
PORTS = (8123, 4317, 4318, 8440, 8050)


def free_offset() -> int:
    for offset in random.sample(range(1000, 24_000), 200):
        if all(is_free(port + offset) for port in PORTS):
            return offset
    raise AssertionError("no room for five ports")


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
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Up]]:
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


def test_up_shows_this_machine_restarts_what_ends_and_stops_without_a_trace(
    start: Callable[..., Up],
) -> None:
    up = start("--no-lab")
    up.wait_for(lambda: "NovaCron runs: http://127.0.0.1:" in up.output)
    assert re.search(r"memory +\d+ MiB in all: store \d+ MiB, collector \d+ MiB", up.output)

    assert socket.gethostname() in [host["name"] for host in up.api("/v1/hosts").json()["hosts"]]
    assert httpx.get(f"http://127.0.0.1:{8050 + up.offset}/").status_code == 200

    second = subprocess.run([NOVACRON, "up", *up.arguments], capture_output=True, text=True)
    assert second.returncode == 2
    assert "NovaCron already runs from" in second.stderr

    os.kill(up.pid_of("agent"), signal.SIGKILL)
    up.wait_for(lambda: "ended, killed by SIGKILL; starts again in 1 s" in up.output)
    up.wait_for(lambda: "started again" in up.output)

    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0
    assert up.output.rstrip().endswith("stopped")
    assert processes_of(up.folder) == []
    assert all(is_free(port + up.offset) for port in PORTS)


@pytest.mark.lab
def test_up_brings_the_lab_and_down_removes_it(start: Callable[..., Up]) -> None:
    up = start("--libvirt", "qemu+unix:///system?socket=/nowhere")
    up.wait_for(lambda: "NovaCron runs: http://127.0.0.1:" in up.output, timeout=120)
    assert "none answers at qemu+unix:///system" in up.output

    up.wait_for(lambda: len(running(up)) == 4)
    hosts = [host["name"] for host in up.api("/v1/hosts").json()["hosts"]]
    assert sorted(hosts) == sorted([socket.gethostname(), "lab-host-a", "lab-host-b"])

    down = subprocess.run([NOVACRON, "down", *up.arguments], capture_output=True, text=True)

    assert down.returncode == 0, down.stdout + down.stderr
    assert up.process.wait(5) == 0
    assert not (up.folder / "lab").exists()
    assert processes_of(up.folder) == []


def running(up: Up) -> list[str]:
    vms = up.api("/v1/vms").json()["vms"]
    return [vm["name"] for vm in vms if vm["state"] == "running"]


def test_a_part_that_cannot_start_stops_everything_and_is_quoted(start: Callable[..., Up]) -> None:
    up = start("--no-lab", "--data", "/proc/nowhere")

    assert up.process.wait(30) == 2
    assert "/proc/nowhere: cannot be used" in up.output


def test_down_has_nothing_to_stop(tmp_path: Path) -> None:
    folders = ["--data", str(tmp_path / "data"), "--lab-dir", str(tmp_path / "lab")]
    done = subprocess.run([NOVACRON, "down", *folders], capture_output=True, text=True)

    assert done.returncode == 0
    assert f"does not run from {tmp_path / 'data'}, and there is no lab" in done.stdout
