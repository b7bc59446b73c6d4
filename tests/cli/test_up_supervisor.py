"""What the parts of NovaCron may do to `novacron up`: end, hang, leave children, talk too much."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from novacron_cli.up.program import Child, Program
from novacron_cli.up.supervisor import Stopped, Supervisor
from novacron_contract.errors import Unavailable

_FAMILY = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""
_DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
_ONCE = """
import pathlib, sys, time
seen = pathlib.Path(sys.argv[1])
if not seen.exists():
    seen.touch()
    time.sleep(0.3)
    sys.exit("the disk is on fire")
pathlib.Path(sys.argv[1] + "-again").touch()
time.sleep(600)
"""


class Said(list[tuple[str, str]]):
    def __call__(self, who: str, what: str) -> None:
        self.append((who, what))

    def has(self, text: str) -> bool:
        return any(text in what for _, what in self)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def supervisor(tmp_path: Path, said: Said) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, said)
    yield supervisor
    supervisor.stop()


def python(name: str, code: str, *arguments: object, ready_file: Path | None = None) -> Program:
    command = (sys.executable, "-c", code, *map(str, arguments))
    return Program(name, command, lambda: ready_file is None or ready_file.exists(), patience=20)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition: object, timeout: float = 10) -> bool:
    deadline = time.monotonic() + timeout
    assert callable(condition)
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def watch_in_background(supervisor: Supervisor) -> threading.Thread:
    def watch() -> None:
        with pytest.raises(Stopped):
            supervisor.watch()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_stopping_leaves_no_child_of_a_child_behind(supervisor: Supervisor, tmp_path: Path) -> None:
    told = tmp_path / "grandchild"
    supervisor.start(python("family", _FAMILY, told, ready_file=told))
    assert eventually(told.read_text)
    grandchild = int(told.read_text())
    assert is_alive(grandchild)

    supervisor.stop()

    assert eventually(lambda: not is_alive(grandchild))


def test_a_program_that_does_not_obey_is_killed(tmp_path: Path) -> None:
    child = Child(python("deaf", _DEAF), tmp_path / "deaf.log")
    child.start()
    assert eventually(lambda: child.last_lines() == ["deaf"])

    child.ask_to_stop()

    assert not child.stopped_within(0.3)
    assert not child.running


def test_a_program_that_ends_at_the_start_is_quoted(supervisor: Supervisor) -> None:
    failing = Program("store", (sys.executable, "-c", "exit('no space left')"), lambda: False)

    with pytest.raises(Unavailable, match=r"store ended, exit code 1\n.*\| no space left"):
        supervisor.start(failing)


def test_a_program_that_never_gets_ready_is_named(supervisor: Supervisor) -> None:
    command = (sys.executable, "-c", "import time; time.sleep(60)")

    with pytest.raises(Unavailable, match="ui is not ready after"):
        supervisor.start(Program("ui", command, lambda: False, patience=0.3))


def test_a_program_that_ends_later_is_started_again_and_quoted(
    supervisor: Supervisor, said: Said, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    supervisor.start(python("agent", _ONCE, seen))
    thread = watch_in_background(supervisor)

    assert eventually(Path(f"{seen}-again").exists)

    supervisor.request_stop()
    thread.join()
    assert said.has("ended, exit code 1; starts again in 1 s")
    assert said.has("the disk is on fire")
    assert said.has("started again")


def test_a_program_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    code = f"""
import sys, time, pathlib
from novacron_cli.up.program import Child, Program
child = Child(Program("x", (sys.executable, "-c", "import time; time.sleep(600)"), bool),
              pathlib.Path({str(tmp_path / "x.log")!r}))
child.start()
pathlib.Path({str(told)!r}).write_text(str(child.process.pid))
time.sleep(600)
"""
    parent = Child(python("parent", code), tmp_path / "parent.log")
    parent.start()
    assert eventually(lambda: told.exists() and told.read_text())
    pid = int(told.read_text())

    assert parent.process is not None
    parent.process.send_signal(signal.SIGKILL)
    parent.process.wait()

    assert eventually(lambda: not is_alive(pid))


def test_a_log_that_grew_too_long_is_cut_and_the_program_writes_on(tmp_path: Path) -> None:
    log = tmp_path / "chatty.log"
    log.write_bytes(b"x" * (9 * 1024 * 1024))
    child = Child(
        python("chatty", "import time\nwhile 1: print('new', flush=True); time.sleep(.05)"), log
    )
    child.start()
    assert eventually(lambda: child.last_lines(1)[0].endswith("new"))

    child.trim_log()

    assert eventually(lambda: child.last_lines() != [])
    assert log.stat().st_size < 1024 * 1024
    assert log.with_suffix(".log.1").stat().st_size > 8 * 1024 * 1024
    child.ask_to_stop()
    child.stopped_within(5)


def test_memory_counts_the_children_of_a_program_too(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    told = tmp_path / "grandchild"
    supervisor.start(python("family", _FAMILY, told, ready_file=told))
    assert eventually(told.read_text)
    child = supervisor.children[0]
    both = child.memory()

    os.kill(int(told.read_text()), signal.SIGKILL)

    assert eventually(lambda: 0 < child.memory() < both)
