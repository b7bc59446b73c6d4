"""`novacron up`, as a user runs it: NovaCron and the lab, up, watched, down without a trace."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
def test_up_brings_the_lab_and_down_removes_it(start_up: Callable[..., Up], tmp_path: Path) -> None:
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

    log_in(up, tmp_path)
    assert "2 succeeded" in ordered(up, tmp_path, "suspend", "web-1", "db-1")  # of two agents

    down = subprocess.run([NOVACRON, "down", *up.arguments], capture_output=True, text=True)

    assert down.returncode == 0, down.stdout + down.stderr
    assert up.process.wait(5) == 0
    assert not (up.folder / "lab").exists()
    assert processes_of(up.folder) == []


def log_in(up: Up, home: Path) -> None:
    config = up.folder / "data" / "config" / "collector.toml"
    novacron(up, home, "user", "add", "ada", "--admin", "--config", str(config))
    novacron(up, home, "login", "ada")


def ordered(up: Up, home: Path, verb: str, *vms: str) -> str:
    return novacron(up, home, "vm", verb, *vms, "--wait", "--yes")


def novacron(up: Up, home: Path, *words: str) -> str:
    """As a user with `home` types it; whoever asks for a password gets one."""
    env = {**os.environ, "XDG_CONFIG_HOME": str(home), "NOVACRON_DATA": str(up.folder / "data")}
    done = subprocess.run(
        [NOVACRON, *words], input="correct-horse-9\n", env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def running(up: Up) -> list[str]:
    vms = up.api("/v1/vms").json()["vms"]
    return [vm["name"] for vm in vms if vm["state"] == "running"]


def test_what_was_backed_up_is_there_after_up_restores_it(
    start_up: Callable[..., Up], tmp_path: Path
) -> None:
    first = start_up("--no-lab")
    first.wait_for(lambda: "NovaCron runs: http://127.0.0.1:" in first.output)
    first.wait_for(lambda: stored_until(first) is not None)
    last = stored_until(first)
    config = first.folder / "data" / "config" / "collector.toml"
    copied = subprocess.run(
        [NOVACRON, "backup", str(tmp_path / "copy"), "--config", str(config)],
        capture_output=True,
        text=True,
    )
    assert copied.returncode == 0, copied.stderr
    names = [host["name"] for host in first.api("/v1/hosts").json()["hosts"]]
    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(60) == 0

    second = start_up("--no-lab", "--restore", str(tmp_path / "copy"))
    second.wait_for(lambda: "NovaCron runs: http://127.0.0.1:" in second.output)

    assert re.search(r"telemetry and \d+ rows of state as of 20\S+ are back", second.output)
    assert {host["name"] for host in second.api("/v1/hosts").json()["hosts"]} == set(names)
    answer = asked(second, f"SELECT count() FROM samples WHERE ts = '{last}'")
    assert int(answer["rows"][0][0]) > 0


def stored_until(up: Up) -> str | None:
    """The time of the newest sample of the host's CPU."""
    query = (
        "SELECT toString(max(ts)) AS t, count() AS n FROM samples WHERE metric = 'system.cpu.time'"
    )
    (row,) = asked(up, query)["rows"]
    return str(row[0]) if int(row[1]) else None


def asked(up: Up, query: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{8440 + up.offset}/v1/sql"
    answer: dict[str, Any] = httpx.post(url, json={"query": query}, timeout=30).json()
    return answer


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
