"""SMART: the root helper, its socket, and what the agent makes of it.

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
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_agent.host import smart_helper
from novacron_agent.host.scraper import Host
from novacron_agent.host.smart import SOCKET, Smart
from novacron_agent.host.smart_report import add_disks
from novacron_agent.identity import Machine
from novacron_agent.otlp import Encoder
from novacron_agent.readings import Reading
from novacron_contract.metrics import BY_NAME
from provider_contract import values
from smartctl_documents import ASLEEP, ATA, NVME, SAS, SCAN

MACHINE = Machine(id="1" * 32, name="kvm-1", arch="amd64", os_description="Debian")
ME = pwd.getpwuid(os.getuid()).pw_name
NOBODY = pwd.getpwnam("nobody")


@dataclass
class Disks:
    """A smartctl that prints a file for each disk, and a log of how it was called."""

    folder: Path
    answers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, document in (("sda", ATA), ("nvme0", NVME), ("0", SAS), ("sdb", ASLEEP)):
            self.says(name, f"cat {self.file(name, json.dumps(document))}; exit 4")
        self.says("--scan-open", f"cat {self.file('scan', json.dumps(SCAN))}")

    def file(self, name: str, text: str) -> str:
        path = self.folder / f"{name}.json"
        path.write_text(text, encoding="utf-8")
        return shlex.quote(str(path))

    def says(self, last: str, command: str) -> None:
        self.answers[last] = command
        cases = "\n".join(f"{name}) {command};;" for name, command in self.answers.items())
        script = f"""#!/bin/sh
echo "$*" >>{shlex.quote(str(self.folder / "calls"))}
for last; do :; done
case "${{last##*/}}" in
{cases}
esac
"""
        program = self.folder / "smartctl"
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disks:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Disks(folder)


@pytest.fixture
def reading() -> Reading:
    return Reading({}, 0)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Callable[[Callable[[socket.socket], object]], Path]]:
    """Does with each connection what it is told, as systemd does with `Accept=yes`."""
    listener = socket.socket(socket.AF_UNIX)
    path = tmp_path / "smart.sock"
    listener.bind(str(path))
    listener.listen(4)

    def serve(answer: Callable[[socket.socket], object]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    answer(connection)
                except OSError:
                    continue  # who asked is gone

    def start(answer: Callable[[socket.socket], object]) -> Path:
        threading.Thread(target=serve, args=(answer,), daemon=True).start()
        return path

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def helper(connection: socket.socket, user: str = ME) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "novacron_agent.host.smart_helper", "--user", user),
        stdin=connection.fileno(),
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
    )


def smart(reading: Reading) -> dict[tuple[Any, ...], float]:
    return {
        (name, attribute): value
        for (_id, name, attribute), value in values(reading, "hw.physical_disk.smart").items()
    }


def test_ata_nvme_and_sas_disks_go_all_the_way_through_a_real_socket(
    disks: Disks, listening: Callable[[Callable[[socket.socket], object]], Path], reading: Reading
) -> None:
    Smart(listening(helper)).read(reading)

    assert values(reading, "hw.status") == {
        ("WD-WCC7K0000001", "sda", "physical_disk", "ok"): 0,
        ("WD-WCC7K0000001", "sda", "physical_disk", "predicted_failure"): 1,
        ("S64GNE0R000001", "nvme0", "physical_disk", "ok"): 1,
        ("S64GNE0R000001", "nvme0", "physical_disk", "predicted_failure"): 0,
        ("WFK00001", "bus/0 megaraid,8", "physical_disk", "ok"): 1,
        ("WFK00001", "bus/0 megaraid,8", "physical_disk", "predicted_failure"): 0,
    }
    assert {
        (sample.attributes["hw.name"], sample.attributes["hw.physical_disk.type"]): sample.value
        for sample in reading.samples
        if sample.metric.name == "hw.physical_disk.size"
    } == {
        ("sda", "HDD"): 4000787030016,
        ("nvme0", "SSD"): 1920383410176,
        ("bus/0 megaraid,8", "HDD"): 1200243695616,
    }
    assert list(values(reading, "hw.temperature").values()) == [39, 34, 31]
    assert list(values(reading, "hw.physical_disk.endurance_utilization").values()) == [
        pytest.approx(0.93)
    ]
    assert smart(reading) == {
        ("sda", "Power-On Hours"): 41234,
        ("sda", "Power Cycle Count"): 57,
        ("sda", "Reallocated Sectors Count"): 12,  # as printed, not with what else is in its bits
        ("sda", "Current Pending Sector Count"): 3,
        ("sda", "UltraDMA CRC Error Count"): 0,
        ("nvme0", "Power-On Hours"): 12950,
        ("nvme0", "Power Cycle Count"): 22,
        ("nvme0", "Critical Warning"): 0,
        ("nvme0", "Available Spare"): 98,
        ("nvme0", "Available Spare Threshold"): 10,
        ("nvme0", "Percentage Used"): 7,
        ("nvme0", "Media and Data Integrity Errors"): 2,
        ("nvme0", "Error Log Entries"): 5,
        ("nvme0", "Unsafe Shutdowns"): 19,
        ("bus/0 megaraid,8", "Power-On Hours"): 20111,
        ("bus/0 megaraid,8", "Reallocated Sectors Count"): 4,
        ("bus/0 megaraid,8", "Uncorrected Read Errors"): 6,
        ("bus/0 megaraid,8", "Uncorrected Write Errors"): 0,
    }
    assert disks.calls == [
        "-j --scan-open",
        "-j -n standby -i -H -A -d sat /dev/sda",
        "-j -n standby -i -H -A -d nvme /dev/nvme0",
        "-j -n standby -i -H -A -d megaraid,8 /dev/bus/0",
        "-j -n standby -i -H -A -d sat /dev/sdb",
    ]


def test_every_sample_is_as_the_contract_says(reading: Reading) -> None:
    add_disks(reading, [disk(report) for report in (ATA, NVME, SAS)])

    for sample in reading.samples:
        assert set(sample.attributes) == set(BY_NAME[sample.metric.name].attributes)
    assert reading.samples[0].attributes == {
        "hw.id": "WD-WCC7K0000001",
        "hw.name": "sda",
        "hw.physical_disk.type": "HDD",
        "hw.model": "WDC WD40EFRX-68N32N0",
        "hw.serial_number": "WD-WCC7K0000001",
        "hw.firmware_version": "82.00A82",
    }


def test_without_the_helper_nothing_is_said_and_nothing_failed(tmp_path: Path) -> None:
    host = Host(MACHINE, tmp_path / "none.sock")
    for _ in range(2):
        scrape = host.scrape()
        assert scrape.failures == []
        assert not any(values(r, "hw.status") for r in scrape.readings)
        time.sleep(0.1)


def test_the_machine_is_measured_while_disks_are_slow(
    listening: Callable[[Callable[[socket.socket], object]], Path],
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


def disk(report: Mapping[str, Any]) -> dict[str, Any]:
    device = report["device"]
    return {"name": device["name"], "type": device["type"], "report": report}


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


def test_a_machine_without_smartctl_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listening: Callable[[Callable[[socket.socket], object]], Path],
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
    listening: Callable[[Callable[[socket.socket], object]], Path],
    reading: Reading,
    said: bytes,
    complaint: str,
) -> None:
    path = listening(lambda connection: connection.sendall(said))
    with pytest.raises(OSError, match=complaint):
        Smart(path).read(reading)
    assert reading.samples == []


def test_a_helper_that_dribbles_is_not_waited_for(
    listening: Callable[[Callable[[socket.socket], object]], Path], reading: Reading
) -> None:
    def dribble(connection: socket.socket) -> None:
        while True:
            connection.sendall(b" ")
            time.sleep(0.05)

    path = listening(dribble)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        Smart(path, patience_s=0.5).read(reading)
    assert time.monotonic() - began < 3


def test_a_disk_that_sleeps_is_left_alone_and_out(reading: Reading) -> None:
    add_disks(reading, [disk(ASLEEP)])
    assert reading.samples == []


def test_two_paths_to_one_disk_are_two_series(reading: Reading) -> None:
    add_disks(reading, [disk(ATA), {**disk(ATA), "name": "/dev/sdz"}])
    assert {key[0] for key in values(reading, "hw.status")} == {
        "WD-WCC7K0000001",
        "WD-WCC7K0000001 sdz",
    }


def test_names_from_firmware_are_short_and_printable(reading: Reading) -> None:
    evil = {**ATA, "serial_number": "\x1b[2J" + "x" * 10_000, "model_name": "a\nb\u202ec\ud800"}
    add_disks(reading, [disk(evil)])

    attributes = reading.samples[0].attributes
    assert attributes["hw.serial_number"] == "[2J" + "x" * 61
    assert attributes["hw.model"] == "abc"


@pytest.mark.parametrize("value", [2**63, -1, True, 1.5, float("nan"), "7", None, [7]])
def test_what_is_no_count_is_absent(reading: Reading, value: Any) -> None:
    row = {"id": 5, "raw": {"value": value}}
    odd = {"power_cycle_count": value, "ata_smart_attributes": {"table": [row]}}
    add_disks(reading, [disk({**ATA, **odd, "temperature": {"current": value}})])

    assert smart(reading) == {("sda", "Power-On Hours"): 41234}
    degrees = {-1.0} if value == -1 else set()
    assert set(values(reading, "hw.temperature").values()) == degrees


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*ATA, *NVME, *SAS, "passed", "table", "id", "raw"]), inner
        )
    ),
    max_leaves=8,
)


def changed(report: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    parts = {key: st.just(value) | ANYTHING for key, value in report.items()}
    return st.fixed_dictionaries(parts)


@given(st.sampled_from([ATA, NVME, SAS]).flatmap(changed) | ANYTHING)
def test_whatever_a_disk_says_can_be_sent(report: Any) -> None:
    reading = Reading(MACHINE.resource, time.time_ns())

    add_disks(reading, [{"name": "/dev/sda", "type": "sat", "report": report}])

    assert len(reading.samples) < 40
    for sample in reading.samples:
        assert 0 <= sample.value < 2**63 or sample.metric.name == "hw.temperature"
        assert all(isinstance(v, str) and len(v) <= 80 for v in sample.attributes.values())
    Encoder("1").encode([reading])
