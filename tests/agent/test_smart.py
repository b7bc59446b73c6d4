"""SMART as the agent reads it: through the helper's socket, with whatever is on its other end.

smartctl is a program of the test: everything else is real.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from novacron_agent.host.scraper import Host
from novacron_agent.host.smart import Smart
from novacron_agent.host.smart_report import add_disks
from novacron_agent.identity import Machine
from novacron_agent.readings import Reading
from provider_contract import values
from smart_disks import Disks, Listening, disk, helper, listening_in
from smartctl_documents import ATA, NVME, SAS

MACHINE = Machine(id="1" * 32, name="kvm-1", arch="amd64", os_description="Debian")


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disks:
    return Disks.on_path(tmp_path, monkeypatch)


@pytest.fixture
def reading() -> Reading:
    return Reading({}, 0)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    with listening_in(tmp_path) as listening:
        yield listening


def test_ata_nvme_and_sas_disks_go_all_the_way_through_a_real_socket(
    disks: Disks, listening: Listening, reading: Reading
) -> None:
    Smart(listening(helper)).read(reading)

    told = Reading({}, 0)
    add_disks(told, [disk(report) for report in (ATA, NVME, SAS)])
    assert reading.samples == told.samples
    assert [name for _, name, _, state in values(reading, "hw.status") if state == "ok"] == [
        "sda",
        "nvme0",
        "bus/0 megaraid,8",
    ]
    assert disks.calls == [
        "-j --scan-open",
        "-j -n standby -i -H -A -d sat /dev/sda",
        "-j -n standby -i -H -A -d nvme /dev/nvme0",
        "-j -n standby -i -H -A -d megaraid,8 /dev/bus/0",
        "-j -n standby -i -H -A -d sat /dev/sdb",
    ]


def test_without_the_helper_nothing_is_said_and_nothing_failed(tmp_path: Path) -> None:
    host = Host(MACHINE, tmp_path / "none.sock")
    for _ in range(2):
        scrape = host.scrape()
        assert scrape.failures == []
        assert not any(values(r, "hw.status") for r in scrape.readings)
        time.sleep(0.1)


def test_the_machine_is_measured_while_disks_are_slow(
    listening: Listening,
) -> None:
    gate = threading.Event()

    def slow(connection: socket.socket) -> None:
        gate.wait(10)
        connection.sendall(answer([disk(NVME)]))

    host = Host(MACHINE, listening(slow))
    for _ in range(3):
        began = time.monotonic()
        scrape = host.scrape()
        assert time.monotonic() - began < 2
        assert values(scrape.readings[0], "system.uptime")
        assert scrape.failures == []
    gate.set()

    deadline = time.monotonic() + 5
    while not any(values(r, "hw.status") for r in host.scrape().readings):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answer(disks: Any, **more: Any) -> bytes:
    return json.dumps({"version": 1, "disks": disks, **more}).encode()


def test_a_machine_without_smartctl_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listening: Listening,
    reading: Reading,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    path = listening(helper)

    with pytest.raises(OSError, match="smartctl cannot be run: No such file or directory"):
        Smart(path).read(reading)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"", "no answer"),
        (b"{", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "another version"),
        (b'{"version": 2}', "another version"),
        (b'{"version": 1, "disks": [' + b" " * 5 * 1024**2 + b"]}", "too long"),
    ],
)
def test_a_helper_that_answers_nonsense_is_a_failure(
    listening: Listening,
    reading: Reading,
    said: bytes,
    complaint: str,
) -> None:
    path = listening(lambda connection: connection.sendall(said))
    with pytest.raises(OSError, match=complaint):
        Smart(path).read(reading)
    assert reading.samples == []


def test_a_helper_that_dribbles_is_not_waited_for(listening: Listening, reading: Reading) -> None:
    def dribble(connection: socket.socket) -> None:
        while True:
            connection.sendall(b" ")
            time.sleep(0.05)

    path = listening(dribble)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        Smart(path, patience_s=0.5).read(reading)
    assert time.monotonic() - began < 3
