"""novacron-store as a process: how it starts, stops, and what survives."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

from free_ports import free_port
from novacron_contract.settings import load
from novacron_store.server.cli import main
from novacron_store.server.settings import ReaderLimits, Settings, StoreSettings
from server.conftest import Asker, asker

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = str(Path(sys.executable).with_name("novacron-store"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for name in ("service", "reader"):
        (tmp_path / name).write_text(f"{name}-secret\n")
    return write_config(tmp_path, "store.toml", free_port())


def write_config(folder: Path, name: str, port: int, more: str = "") -> Path:
    path = folder / name
    path.write_text(
        f'[store]\npath = "{folder}/data"\nlisten = "127.0.0.1:{port}"\n'
        f'service_password_file = "{folder}/service"\nreader_password_file = "{folder}/reader"\n'
        f"{more}"
    )
    return path


@contextmanager
def running(config: Path) -> Iterator[tuple[subprocess.Popen[bytes], Asker]]:
    address = load(config, Settings).store.listen
    process = subprocess.Popen([PROGRAM, "--config", str(config)], stderr=subprocess.DEVNULL)
    service = asker(f"http://{address}", "service", "service-secret")
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                service.http.get("/ping").raise_for_status()
                break
            except httpx.TransportError:
                assert process.poll() is None, "it did not start"
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield process, service
    finally:
        service.http.close()
        process.kill()
        process.wait()


def fails(config: Path) -> str:
    done = subprocess.run(
        [PROGRAM, "--config", str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_what_was_acknowledged_survives_a_kill(config: Path) -> None:
    with running(config) as (process, service):
        service.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").raise_for_status()
        threading.Timer(1.0, process.kill).start()
        acknowledged = 0
        try:
            while True:
                rows = "".join(f"{acknowledged * 1000 + n}\n" for n in range(1000))
                service.ask(f"INSERT INTO t FORMAT TabSeparated\n{rows}").raise_for_status()
                acknowledged += 1
        except httpx.TransportError:
            pass
        assert process.wait(10) == -signal.SIGKILL

    with running(config) as (_, service):
        assert acknowledged > 0
        found = service.ask(f"SELECT count() FROM t WHERE a < {acknowledged * 1000}").text
        assert int(found) == acknowledged * 1000


def test_a_stop_lets_the_running_insert_end_and_is_no_failure(config: Path) -> None:
    answers = []
    with running(config) as (process, service):
        service.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").raise_for_status()
        slow = "INSERT INTO t SELECT sleepEachRow(0.2) FROM numbers(5) SETTINGS max_block_size = 1"
        thread = threading.Thread(target=lambda: answers.append(service.ask(slow).status_code))
        thread.start()
        time.sleep(0.5)
        process.terminate()
        thread.join()
        assert process.wait(30) == 0
    assert answers == [200]


def test_a_stop_cancels_a_query_that_does_not_end(config: Path) -> None:
    answers = []
    with running(config) as (process, service):
        endless = "SELECT count() FROM numbers(1000000) AS a, numbers(1000000) AS b"
        thread = threading.Thread(target=lambda: answers.append(service.ask(endless).text))
        thread.start()
        time.sleep(0.5)
        process.terminate()
        assert process.wait(14) == 0
        thread.join()
    assert "QUERY_WAS_CANCELLED" in answers[0]


# One call of a function, in which the engine does not look at its time limit.
STUCK = "SELECT repeat('a', 1000000) LIKE concat(repeat('%a', 20000), '%b')"


def test_a_stop_does_not_wait_for_a_call_that_cannot_be_ended(config: Path) -> None:
    with running(config) as (process, service), ask_and_leave(service, STUCK):
        process.terminate()
        assert process.wait(20) == 0


def test_a_readers_call_that_cannot_be_ended_ends_the_store(tmp_path: Path, config: Path) -> None:
    config = write_config(tmp_path, "short.toml", free_port(), "[limits]\ntime = 1\n")
    with running(config) as (process, service):
        reader = asker(str(service.http.base_url), "reader", "reader-secret")
        with reader.http, ask_and_leave(reader, STUCK):
            assert process.wait(20) == 70  # for a supervisor to start it again


@contextmanager
def ask_and_leave(who: Asker, query: str) -> Iterator[None]:
    def ask() -> None:
        with suppress(httpx.TransportError):
            who.ask(query)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.5)
    yield
    thread.join()


def test_a_second_store_on_the_same_folder_is_told_who_has_it(config: Path, tmp_path: Path) -> None:
    second = write_config(tmp_path, "second.toml", free_port())
    with running(config) as (process, service):
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700  # its owner's alone
        said = fails(second)
        assert service.ask("SELECT 1").text == "1\n"
    assert f"{tmp_path}/data" in said
    assert f"process {process.pid} has this data folder open" in said
    assert "stop it, or set another [store] path" in said


def test_a_port_in_use_is_told_with_what_to_do(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--config", str(write_config(tmp_path, "taken.toml", port))]) == 2
    said = capsys.readouterr().err
    assert f"store: listen: 127.0.0.1:{port} is in use" in said
    assert "set another address" in said
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('listen = "0.0.0.0:8123"', "listen: 0.0.0.0 is not a loopback address"),
        ('listen = "8123"', "listen: '8123': expected HOST:PORT"),
        ('memory = "1MiB"', "memory: must be at least"),
        ("max_queries = 0", "max_queries: must be at least 1"),
        ('pth = "/x"', "pth: unknown; allowed: "),
        ('reader_password_file = "/nonexistent"', "/nonexistent: the secret cannot be read"),
        ('path = "/dev/null/data"', "/dev/null/data: the data folder cannot be made"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(
    config: Path, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = line.split(" ")[0]
    kept = [old for old in config.read_text().splitlines() if not old.startswith(f"{key} ")]
    config.write_text("\n".join([*kept, line, ""]))

    assert main(["--config", str(config)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_the_sample_settings_are_the_defaults() -> None:
    sample = ROOT / "packaging/config/store.toml"
    settings = load(sample, Settings)
    assert settings == Settings(
        store=type(settings.store)(
            path=Path("/var/lib/novacron/store"),
            service_password_file=Path("/etc/novacron/service-password"),
            reader_password_file=Path("/etc/novacron/reader-password"),
        )
    )


def test_the_sample_shows_every_key_with_its_default(tmp_path: Path) -> None:
    text = (ROOT / "packaging/config/store.toml").read_text(encoding="utf-8")
    everything = tmp_path / "store.toml"
    everything.write_text(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE))

    assert load(everything, Settings) == load(ROOT / "packaging/config/store.toml", Settings)
    tables = tomllib.loads(everything.read_text())
    assert {name: set(table) for name, table in tables.items()} == {
        "store": {field.name for field in fields(StoreSettings)},
        "limits": {field.name for field in fields(ReaderLimits)},
    }
