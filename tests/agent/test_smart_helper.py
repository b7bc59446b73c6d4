"""The root helper of SMART: whom it serves, what it runs, and a smartctl that goes mad.

smartctl is a program of the test: everything else is real.
"""

from __future__ import annotations

import ast
import json
import os
import pwd
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from novacron_agent.host import smart_helper
from novacron_agent.host.smart import SOCKET
from smart_disks import ME, Disks, helper

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disks:
    return Disks.on_path(tmp_path, monkeypatch)


def connected(euid: int) -> tuple[socket.socket, socket.socket]:
    """Two ends, made by that user where this one may become it."""
    if os.geteuid() != 0:
        return socket.socketpair()
    os.seteuid(euid)
    try:
        return socket.socketpair()
    finally:
        os.seteuid(0)


def test_who_is_neither_root_nor_the_agent_gets_nothing(disks: Disks) -> None:
    ours, theirs = connected(NOBODY.pw_uid)
    with ours, theirs:
        done = helper(theirs, "daemon")
        theirs.close()

        assert ours.recv(100) == b""
    assert done.returncode == 1
    assert done.stderr == "novacron-smart: only root and 'daemon' are served\n"
    assert not (disks.folder / "calls").exists()


def test_the_agents_user_is_served(disks: Disks) -> None:
    ours, theirs = connected(NOBODY.pw_uid)
    with ours, theirs:
        disks.says("--scan-open", "echo '{}'")
        done = helper(theirs, "nobody" if os.geteuid() == 0 else ME)
        theirs.close()

        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(ours.recv(1000)) == {"version": 1, "disks": []}


def test_what_is_said_to_the_helper_is_not_read(disks: Disks) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b'{"device": "/dev/sda; reboot"}\n')
        disks.says("--scan-open", "echo '{}'")
        assert helper(theirs).returncode == 0
        theirs.close()
        assert json.loads(ours.recv(1000)) == {"version": 1, "disks": []}
    assert disks.calls == ["-j --scan-open"]


def test_without_a_connection_the_helper_says_who_starts_it() -> None:
    done = subprocess.run(
        (sys.executable, "-m", "novacron_agent.host.smart_helper"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "systemd starts this" in done.stderr


def test_only_the_standard_library_runs_as_root() -> None:
    text = Path(smart_helper.__file__).read_text(encoding="utf-8")
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
        )
    }
    assert imported <= sys.stdlib_module_names


def test_systemd_listens_where_the_agent_asks_and_starts_the_helper() -> None:
    units = Path(__file__).resolve().parents[2] / "packaging/systemd"
    listening = (units / "novacron-smart.socket").read_text(encoding="utf-8")
    started = (units / "novacron-smart@.service").read_text(encoding="utf-8")

    assert f"\nListenStream={SOCKET}\n" in listening
    assert "\nAccept=yes\n" in listening
    assert "/novacron-smart --user novacron-agent\nStandardInput=socket\n" in started


@pytest.mark.parametrize(
    "nonsense",
    [
        "head -c 100000000 /dev/zero",  # too much
        "printf '{\"model_name\": \"'; head -c 1000000 /dev/zero | tr '\\0' x; printf '\"}'",
        "yes '{}'",  # without end
        "sleep 60 & sleep 60",  # hangs, and so does its child
        "echo 'Segmentation fault'",
        "echo '[1, 2]'",
        "head -c 200000 /dev/zero | tr '\\0' '['",  # nested deeper than anybody reads
        "exit 1",
    ],
)
def test_a_disk_that_makes_smartctl_mad_leaves_the_others_alone(
    disks: Disks, nonsense: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smart_helper, "_ONE_S", 1.0)
    disks.says("sda", nonsense)
    began = time.monotonic()

    said = smart_helper.document()

    assert time.monotonic() - began < 6
    reports = {disk["name"]: disk["report"] for disk in said["disks"]}
    assert reports["/dev/sda"] == {}
    assert reports["/dev/nvme0"]["serial_number"] == "S64GNE0R000001"
    assert "error" not in said


def test_nothing_of_a_smartctl_that_hangs_is_left_running(
    disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smart_helper, "_ONE_S", 0.5)
    pids = disks.folder / "pids"
    disks.says("sda", f"sleep 60 & echo $$ $! >{shlex.quote(str(pids))}; wait")

    smart_helper.document()

    deadline = time.monotonic() + 5
    for pid in pids.read_text(encoding="utf-8").split():
        while Path("/proc", pid).exists() and "Z" not in state(pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def state(pid: str) -> str:
    try:
        return Path("/proc", pid, "stat").read_text(encoding="utf-8").rpartition(")")[2][:3]
    except FileNotFoundError:
        return "Z"


def test_disks_that_all_hang_take_no_more_than_the_time_for_all(
    disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smart_helper, "_ALL_S", 1.0)
    for name in ("sda", "nvme0", "0", "sdb"):
        disks.says(name, "sleep 60")
    began = time.monotonic()

    assert all(disk["report"] == {} for disk in smart_helper.document()["disks"])
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "device",
    [
        {"name": "-s off /dev/sda", "type": "sat"},
        {"name": "/dev/../etc/shadow", "type": "sat"},
        {"name": "/dev/sda", "type": "-x"},
        {"name": "/dev/sda", "type": "sat; reboot"},
        {"name": 7, "type": "sat"},
        {"type": "sat"},
        "sda",
    ],
)
def test_only_names_of_devices_are_handed_to_smartctl(disks: Disks, device: Any) -> None:
    disks.says("--scan-open", f"cat {disks.file('scan', json.dumps({'devices': [device]}))}")
    assert smart_helper.document() == {"version": 1, "disks": []}
    assert disks.calls == ["-j --scan-open"]


def test_more_than_can_be_sent_is_said(disks: Disks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_helper, "_ALL_BYTES", 1000)
    assert smart_helper.document()["error"] == "the disks say too much"
