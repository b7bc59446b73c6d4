"""`novacron-agent status`: what an agent says of itself while it runs, and that none does."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_agent.cli import main
from novacron_agent.status.file import StatusFile, as_json, read_status
from novacron_agent.status.status import DestinationStatus, SourceStatus, Status
from novacron_contract.errors import Unavailable
from otlp_receiver import Response, otlp_receiver

AGENT = [sys.executable, "-m", "novacron_agent"]
TEST_DRIVER = '[provider]\nname = "kvm"\nuri = "test:///default"\n'
FILE = "agent-id.status.json"


def written(place: Path, rest: str = "") -> Path:
    path = place / "agent.toml"
    path.write_text(f'[agent]\nid_file = "{place}/agent-id"\ninterval = "1s"\n{rest}')
    return path


@contextmanager
def running(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([*AGENT, "--config", str(path)], stderr=subprocess.DEVNULL) as agent:
        try:
            yield agent
        finally:
            agent.kill()


def wait_until(is_so: Callable[[], bool], timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def document(place: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads((place / FILE).read_text())
    except FileNotFoundError:
        return {"destinations": []}
    return known


def asked(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    status = main(["status", "--config", str(path), *more])
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def test_an_agent_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with otlp_receiver() as there:
        path = written(tmp_path, f'endpoint = "{there.url}"\n{TEST_DRIVER}')
        with running(path) as agent:
            wait_until(lambda: any(d["delivered"] for d in document(tmp_path)["destinations"]))
            wait_until(lambda: "cpu_share" in document(tmp_path))
            status, shown = asked(path, capsys)
            _status, listed = asked(path, capsys, "--json")
            agent.send_signal(signal.SIGTERM)
            agent.wait(10)
            ended, told = asked(path, capsys)

    assert (status, ended) == (0, 1)
    assert f"process {agent.pid}, running since 20" in shown
    assert "source host: 0." in shown
    assert "source kvm: 0." in shown
    assert f"destination default ({there.url}): " in shown
    known = json.loads(listed)
    assert known["running"] is True
    assert known["agent_id"] == (tmp_path / "agent-id").read_text().strip()
    assert 10 * 2**20 < known["memory"] < 500 * 2**20
    assert 0 <= known["cpu_share"] < 4
    assert told.startswith(f"the agent does not run: its process {agent.pid} is gone. What it said")
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o640
    assert not (tmp_path / f".{FILE}.new").exists()


def test_what_is_wrong_is_said_in_words_and_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = b"no\x1b[2Jentry\nfor you"
    headers = 'headers = { Authorization = "Bearer sesame" }\n'
    provider = f'[provider]\nname = "kvm"\nuri = "qemu+unix:///system?socket={tmp_path}/none"\n'
    with otlp_receiver(otherwise=lambda _: Response(401, hostile)) as there:
        table = f'[[destinations]]\nname = "there"\nendpoint = "{there.url}"\n{headers}'
        path = written(tmp_path, f"{table}{provider}")
        with running(path):
            wait_until(lambda: any(d.get("trouble") for d in document(tmp_path)["destinations"]))
            wait_until(lambda: document(tmp_path)["sources"][1]["errors"] > 0)
            status, shown = asked(path, capsys)

    assert status == 0, "it runs"
    assert "now: HTTP 401 no [2Jentry for you it wants to know who we are" in shown
    assert "no answer from libvirt" in shown
    assert "batches wait (" in shown
    assert "sesame" not in shown + (tmp_path / FILE).read_text()
    assert "\x1b" not in shown


def test_what_is_refused_is_counted_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with otlp_receiver(otherwise=lambda _: Response(400, b"not mine")) as there:
        path = written(tmp_path, f'endpoint = "{there.url}"\n')
        with running(path):
            wait_until(lambda: any(d["refused"] for d in document(tmp_path)["destinations"]))
            _status, shown = asked(path, capsys)

    assert ": HTTP 400 not mine" in shown


def test_no_agent_has_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = asked(written(tmp_path), capsys)

    assert status == 1
    assert "there is no status: the agent does not run with these settings" in shown


def some(**more: Any) -> Status:
    now = time.time()
    known = {"version": "1", "agent_id": "x", "pid": os.getpid(), "started": now - 60}
    known |= {"counting_since": now - 60, "tick": now - 1, "interval": 10.0, "memory": 1}
    return Status(**{**known, **more})


@pytest.mark.parametrize(
    ("known", "trouble"),
    [
        ({}, ""),
        ({"late": 3600}, "the agent does not run, or hangs: its last tick was 3600 s ago"),
        ({"late": 3600, "interval": 3600.0}, ""),
        ({"pid": 2**22 + 1}, "the agent does not run: its process 4194305 is gone"),
        ({"pid": 2**80}, ""),
    ],
)
def test_how_a_status_that_is_old_is_known(known: dict[str, Any], trouble: str) -> None:
    more = dict(known)
    late = more.pop("late", 1)
    status = some(**more)

    assert status.trouble(status.tick + late) == trouble


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "nonsense", "[" * 10_000, '{"version": 1}', "\xff", '{"pid": NaN}']
)
def test_a_file_that_holds_something_else_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / FILE).write_text(text, encoding="latin-1")

    status, shown = asked(written(tmp_path), capsys)

    assert status == 1
    assert "holds no status" in shown
    assert shown.count("\n") == 1


_TEXT = st.text(st.characters(codec="utf-8"))
_COUNT = st.integers(0, 2**63)
_S = st.floats(0, 1e12)


@given(
    share=st.none() | st.floats(0, 100),
    sources=st.lists(st.builds(SourceStatus, name=_TEXT, seconds=st.none() | _S, errors=_COUNT)),
    there=st.lists(st.builds(DestinationStatus, name=_TEXT, bytes=_COUNT, age=_S, trouble=_TEXT)),
)
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    share: float | None,
    sources: list[SourceStatus],
    there: list[DestinationStatus],
) -> None:
    path = tmp_path_factory.mktemp("status") / "status.json"
    said = some(cpu_share=share, sources=tuple(sources), destinations=tuple(there))

    path.write_text(as_json(said))

    assert read_status(path) == said


def test_a_link_in_the_place_of_its_draft_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".status.json.new").symlink_to(tmp_path / "precious")

    file = StatusFile(tmp_path / "status.json")
    file.offer(some())
    file.close(5)

    assert (tmp_path / "precious").read_text() == "precious"
    with pytest.raises(Unavailable):
        read_status(tmp_path / "status.json")


def test_no_tick_waits_for_a_disk_that_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".status.json.new")  # whoever opens it waits
    file = StatusFile(tmp_path / "status.json")
    started = time.monotonic()
    for _ in range(100):
        file.offer(some())
    file.close(0.2)

    assert time.monotonic() - started < 2
