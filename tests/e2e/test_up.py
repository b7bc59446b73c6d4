"""`novacron up`, as a user runs it: NovaCron and the lab, up, watched, down without a trace."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from novacron_up import NOVACRON, PORTS, Up, is_free, processes_of


def test_up_shows_this_machine_restarts_what_ends_and_stops_without_a_trace(
    start_up: Callable[..., Up],
) -> None:
    up = start_up("--no-lab")
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
def test_up_brings_the_lab_and_down_removes_it(start_up: Callable[..., Up]) -> None:
    up = start_up("--libvirt", "qemu+unix:///system?socket=/nowhere")
    up.wait_for(lambda: "NovaCron runs: http://127.0.0.1:" in up.output, timeout=120)
    assert "none answers at qemu+unix:///system" in up.output

    up.wait_for(lambda: len(running(up)) == 4)
    hosts = [host["name"] for host in up.api("/v1/hosts").json()["hosts"]]
    assert sorted(hosts) == sorted([socket.gethostname(), "lab-host-a", "lab-host-b"])

    for what in ("list", "ask", "load"):
        suggested = re.search(rf"(?m)^  {what} +(.+)$", up.output)
        assert suggested, up.output
        done = subprocess.run(suggested[1], shell=True, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "web-1" in done.stdout

    down = subprocess.run([NOVACRON, "down", *up.arguments], capture_output=True, text=True)

    assert down.returncode == 0, down.stdout + down.stderr
    assert up.process.wait(5) == 0
    assert not (up.folder / "lab").exists()
    assert processes_of(up.folder) == []


def running(up: Up) -> list[str]:
    vms = up.api("/v1/vms").json()["vms"]
    return [vm["name"] for vm in vms if vm["state"] == "running"]


def test_a_part_that_cannot_start_stops_everything_and_is_quoted(
    start_up: Callable[..., Up],
) -> None:
    up = start_up("--no-lab", "--data", "/proc/nowhere")

    assert up.process.wait(30) == 2
    assert "/proc/nowhere: cannot be used" in up.output


def test_down_has_nothing_to_stop(tmp_path: Path) -> None:
    folders = ["--data", str(tmp_path / "data"), "--lab-dir", str(tmp_path / "lab")]
    done = subprocess.run([NOVACRON, "down", *folders], capture_output=True, text=True)

    assert done.returncode == 0
    assert f"does not run from {tmp_path / 'data'}, and there is no lab" in done.stdout
