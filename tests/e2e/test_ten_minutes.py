"""The README's first ten minutes of a fleet, line by line. Folders are other ones, and ports by an
offset. What is secret shows nowhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from browser import Open
from exposure import Processes, files_of, shown
from novacron_up import NOVACRON, free_offset
from readme_lines import commands

SECTION = "The first ten minutes of a fleet"
LAB = "/var/lib/novacron-lab"
PASSWORDS = {
    "ann": "an admin's pass phrase",
    "oscar": "an operator's pass phrase",
    "vera": "a viewer's pass phrase",
}
SECRET_FILES = frozenset({"secrets", "ca.key", "server.pem", "identity", "agent-identity"})
pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.timeout(600)]


@dataclass
class Reader:
    """Somebody who copies lines into terminals."""

    folder: Path
    lab: Path
    offset: int
    shown: dict[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def adapted(self, line: str) -> str:
        """Root needs no sudo; make's targets are these commands."""
        line = line.replace("sudo ", "").replace(".venv/bin/", f"{Path(NOVACRON).parent}/")
        where = f"--lab-dir {self.lab}"
        up = f"{NOVACRON} up --no-lab --port-offset {self.offset} {where}"
        line = line.replace("make up LAB=no", up)
        program = Path(NOVACRON).with_name("novacron-lab")
        return line.replace("make lab", f"{program} up --dir {LAB}").replace(LAB, str(self.lab))

    def run(self, line: str, typed: str = "", code: int = 0) -> str:
        ended = subprocess.run(
            ["sh", "-c", self.adapted(line)],
            input=typed,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=self.environment,
        )
        told = ended.stdout + ended.stderr
        self.shown[line] = told
        assert ended.returncode == code, f"{line}: {ended.returncode}: {told}"
        return told

    def start(self, line: str) -> Path:
        """In a terminal of its own."""
        output = self.folder / f"terminal-{len(self.running)}"
        with output.open("w") as out:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {self.adapted(line)}"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                text=True,
                env=self.environment,
            )
        self.running.append(process)
        return output

    def end(self) -> None:
        for process in reversed(self.running):
            process.terminate()
            process.wait(60)


def soon(is_so: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def reader(tmp_path: Path, short_folder: Path) -> Iterator[Reader]:
    lab = short_folder / "lab"
    environment = {
        **os.environ,
        "NOVACRON_DATA": str(tmp_path / "data"),
        "XDG_CONFIG_HOME": str(tmp_path / "home"),
    }
    reader = Reader(tmp_path, lab, free_offset(), environment=environment)
    try:
        yield reader
    finally:
        reader.end()
        down = [NOVACRON, "down", "--lab-dir", str(lab)]
        subprocess.run(down, check=False, capture_output=True, env=environment)


@dataclass
class Lines:
    """The README's, each taken once, in order."""

    left: list[str]

    def next(self, start: str) -> str:
        line = self.left.pop(0)
        assert line.removeprefix("sudo ").removeprefix(".venv/bin/").startswith(start), line
        return line


def test_the_ten_minutes_of_the_readme(reader: Reader, visit: Open) -> None:
    lines = Lines(commands(SECTION))
    with Processes().watched() as processes:
        join = sets_up(reader, lines)
        joins_a_host(reader, lines, join)
        sees_it(reader, lines, visit)
        orders_as_an_operator(reader, lines)
        is_refused_as_a_viewer(reader, lines)
        finds_both_on_record(reader, lines)
        assert lines.left == []
        secrets = misused(reader, join)
    assert shown(secrets, exposed(reader, processes)) == []


def sets_up(reader: Reader, lines: Lines) -> str:
    """The line by which a host joins."""
    up = reader.start(lines.next("make up LAB=no"))
    soon(lambda: "NovaCron runs" in up.read_text())
    told = reader.run(lines.next("novacron setup"), f"{PASSWORDS['ann']}\n")
    join = re.search(r"echo '(https://\S+)' \| sudo novacron-agent join", told)
    assert join, told
    assert "restart" not in told
    reader.run(lines.next("novacron login ann"), f"{PASSWORDS['ann']}\n")
    return join[1]


def joins_a_host(reader: Reader, lines: Lines, join: str) -> None:
    reader.run(lines.next("make lab"))
    reader.run(lines.next("tee"))
    told = reader.run(lines.next("novacron-agent join"), f"{join}\n")
    assert "joined https://127.0.0.1:" in told
    reader.start(lines.next("novacron-agent --config"))


def sees_it(reader: Reader, lines: Lines, visit: Open) -> None:
    page = visit(f"http://127.0.0.1:{8050 + reader.offset}/").page
    expect(page.get_by_role("link", name="web-1", exact=True)).to_be_visible(timeout=90_000)
    expect(page.get_by_text("lab-host-a").first).to_be_visible()
    agents = lines.next("novacron agent list")
    soon(lambda: "never" not in reader.run(agents))
    assert reader.run(agents).count(" active ") == 2
    machines = lines.next("novacron vm list")
    soon(lambda: re.search(r"web-1 +lab-host-a +running", reader.run(machines)))


def orders_as_an_operator(reader: Reader, lines: Lines) -> None:
    for name in ("oscar", "vera"):
        reader.run(lines.next(f"novacron user add {name}"), f"{PASSWORDS[name]}\n")
    reader.run(lines.next("novacron login oscar"), f"{PASSWORDS['oscar']}\n")
    reader.run(lines.next("novacron vm stop web-1"))
    reader.run(lines.next("novacron vm start web-1"))


def is_refused_as_a_viewer(reader: Reader, lines: Lines) -> None:
    reader.run(lines.next("novacron login vera"), f"{PASSWORDS['vera']}\n")
    assert "web-1" in reader.run(lines.next("novacron vm list"))
    refused = reader.run(lines.next("novacron vm stop web-1"), code=4)
    assert refused.startswith("novacron: ")


def finds_both_on_record(reader: Reader, lines: Lines) -> None:
    reader.run(lines.next("novacron login ann"), f"{PASSWORDS['ann']}\n")
    done = reader.run(lines.next("novacron audit list --actor oscar"))
    assert "operation.create" in done
    denied = reader.run(lines.next("novacron audit list --outcome denied"))
    assert re.search(r"vera .*denied", denied)
    reader.run(lines.next("novacron audit verify"))


def misused(reader: Reader, join: str) -> dict[str, str]:
    """All the secrets there are, each used once more, and where it has no business."""
    tokens = {
        "API token": reader.run(".venv/bin/novacron token create ci --days 1"),
        "ingest token": reader.run(".venv/bin/novacron ingest-token create otlp --days 1"),
    }
    secrets = {name: re.findall(r"n(?:ct|ci)_\S{43}", told)[0] for name, told in tokens.items()}
    kept = json.loads((reader.folder / "home" / "novacron" / "credentials.json").read_text())
    secrets["session"] = next(iter(kept.values()))["token"]
    secrets["join token"] = join.rpartition(":")[2]
    api, otlp = (f"http://127.0.0.1:{port + reader.offset}" for port in (8440, 4318))
    agents = f"https://127.0.0.1:{8441 + reader.offset}"
    with httpx.Client(verify=False, trust_env=False) as http:
        for secret in secrets.values():
            bearer = {"Authorization": f"Bearer {secret}"}
            http.get(f"{api}/v1/users", headers=bearer)
            http.get(f"{api}/v1/users?token={secret}", headers=bearer)
            http.post(f"{otlp}/v1/metrics", headers=bearer, content=b"no protobuf")
            answer = http.get(f"{agents}/v1/agents/self/commands", headers=bearer)
            assert answer.status_code == 401
            assert secret not in answer.text
    agent = next(line for line in commands(SECTION) if "novacron-agent join" in line)
    reader.run(f"{agent} --again", f"{join}\n", code=1)
    reader.run(".venv/bin/novacron login ann", f"{PASSWORDS['oscar']}\n", code=4)
    data, lab = reader.folder / "data", reader.lab
    for path in (data / "secrets").iterdir():
        secrets[f"secret {path.name}"] = path.read_text().strip()
    keys = (data / "authority" / "ca.key", *lab.glob("agent/identity/*.pem"))
    for path in keys:
        if found := re.search(r"PRIVATE KEY-----\n(\S+)\n", path.read_text()):
            secrets[f"key {path.name}"] = found[1]
    assert len(secrets) >= 8
    return {**secrets, **{f"password of {name}": word for name, word in PASSWORDS.items()}}


def exposed(reader: Reader, processes: Processes) -> dict[str, bytes]:
    """Logs, databases, terminals, and what all users see of processes."""
    told = {line: text.encode() for line, text in reader.shown.items() if "create" not in line}
    first = next(line for line in told if "novacron setup" in line)
    told[first] = re.sub(rb"nvj_\S{43}", b"", told[first], count=1)  # once, to be pasted
    files = files_of(reader.folder, reader.lab / "agent", but=SECRET_FILES | {"home"})
    assert any(name.endswith("state.db") for name in files)
    assert any(name.endswith("collector.log") for name in files)
    assert len(processes.seen) > 50
    at_home = files_of(reader.folder / "home")
    assert shown({"token": "nvs_"}, at_home), "a secret that is there is not found"
    return told | files | {"processes": b"\n".join(processes.seen)}
