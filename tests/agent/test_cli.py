"""The program as an operator runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from novacron_agent.cli import main
from otlp_receiver import Receiver, Response, otlp_receiver

AGENT = [sys.executable, "-m", "novacron_agent"]
TEST_DRIVER = '[provider]\nname = "kvm"\nuri = "test:///default"\n'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as receiver:
        yield receiver


def config(place: Path, agent: str = "", rest: str = "") -> Path:
    path = place / "agent.toml"
    path.write_text(f'[agent]\nid_file = "{place}/agent-id"\n{agent}\n{rest}')
    return path


@contextmanager
def running(path: Path, log: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([*AGENT, "--config", str(path)], stderr=log) as agent:
        try:
            yield agent
        finally:
            agent.kill()  # if it has not ended as it should


def resources(receiver: Receiver) -> list[dict[str, str]]:
    return [
        {a.key: a.value.string_value or str(a.value.double_value) for a in r.resource.attributes}
        for received in receiver.received
        for r in received.message.resource_metrics
    ]


def test_host_guests_and_the_agent_reach_the_collector(tmp_path: Path, receiver: Receiver) -> None:
    path = config(tmp_path, f'interval = "1s"\nendpoint = "{receiver.url}"', TEST_DRIVER)
    with subprocess.Popen([*AGENT, "--config", path], stderr=subprocess.PIPE, text=True) as agent:
        receiver.wait_for(2, timeout=20)
        agent.send_signal(signal.SIGTERM)
        _out, errors = agent.communicate(timeout=10)

    assert agent.returncode == 0
    assert "first export" in errors
    assert "Traceback" not in errors
    host, test_host, guest, own = resources(receiver)[:4]
    machine_id = host["host.id"]
    assert {"host.id", "host.name", "host.arch", "os.type", "os.description", "os.version"} == set(
        host
    )
    assert test_host["libvirt.version"]
    assert guest["vm.name"] == "test"
    assert guest["vm.host.id"] == test_host["host.id"]
    assert own == {
        "service.name": "novacron-agent",
        "service.instance.id": (tmp_path / "agent-id").read_text().strip(),
        "service.version": own["service.version"],
        "novacron.agent.interval": "1.0",
        "host.id": machine_id,
        "host.name": host["host.name"],
    }


def test_it_keeps_trying_when_neither_libvirt_nor_the_collector_is_there(
    tmp_path: Path, receiver: Receiver
) -> None:
    provider = f'[provider]\nname = "kvm"\nuri = "qemu+unix:///system?socket={tmp_path}/none"\n'
    receiver.will_answer(Response(503))
    path = config(tmp_path, f'interval = "1s"\nendpoint = "{receiver.url}"', provider)
    with subprocess.Popen([*AGENT, "--config", path], stderr=subprocess.PIPE, text=True) as agent:
        receiver.wait_for(3, timeout=20)
        agent.send_signal(signal.SIGINT)
        _out, errors = agent.communicate(timeout=10)

    assert agent.returncode == 0
    assert errors.count("no answer from libvirt") == 1
    assert errors.count("trying again") == 1
    assert "libvirt: XML-RPC error" not in errors
    failed = [
        (point.attributes[0].value.string_value, point.as_int)
        for received in receiver.received
        for resource in received.message.resource_metrics
        for metric in resource.scope_metrics[0].metrics
        for point in metric.sum.data_points
        if metric.name == "novacron.agent.scrape.errors"
    ]
    assert ("host", 0) in failed
    sent = {
        metric.name
        for received in receiver.received
        for resource in received.message.resource_metrics[-1:]
        for metric in resource.scope_metrics[0].metrics
    }
    assert {"process.memory.usage", "process.cpu.time"} <= sent, "of the agent itself"
    assert ("kvm", 2) in failed


def test_it_ends_at_once_while_a_collector_is_away(tmp_path: Path) -> None:
    path = config(tmp_path, 'endpoint = "http://127.0.0.1:9"')
    with subprocess.Popen([*AGENT, "--config", path], stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stderr
        while "trying again" not in agent.stderr.readline():
            pass
        agent.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert agent.wait(10) == 0
    assert time.monotonic() - started < 5


def test_it_ends_in_time_while_a_collector_hangs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        path = config(tmp_path, f'endpoint = "http://127.0.0.1:{silent.getsockname()[1]}"')
        with running(path) as agent, silent.accept()[0]:
            agent.send_signal(signal.SIGTERM)
            _out, errors = agent.communicate(timeout=10)

    assert agent.returncode == 0
    assert b"Traceback" not in errors


def test_it_ends_in_time_while_a_collector_answers_byte_by_byte(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as slow:
        path = config(tmp_path, f'endpoint = "http://127.0.0.1:{slow.getsockname()[1]}"')
        with running(path) as agent, slow.accept()[0] as peer:
            agent.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 10
            for byte in b"HTTP/1.1 200 OK\r\nServer: a slow one":
                if agent.poll() is not None:
                    break
                assert time.monotonic() < deadline
                with contextlib.suppress(ConnectionError):  # it hung up
                    peer.send(bytes([byte]))
                time.sleep(0.5)
            _out, errors = agent.communicate(timeout=1)

    assert agent.returncode == 0
    assert b"Traceback" not in errors


def test_it_ends_in_time_while_libvirt_hangs(tmp_path: Path, receiver: Receiver) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "sock"))
        silent.listen()
        uri = f"qemu+unix:///system?socket={tmp_path}/sock"
        provider = f'[provider]\nname = "kvm"\nuri = "{uri}"\n'
        path = config(tmp_path, f'interval = "1s"\nendpoint = "{receiver.url}"', provider)
        with running(path) as agent, silent.accept()[0]:
            receiver.wait_for(2, timeout=20)
            agent.send_signal(signal.SIGTERM)
            _out, errors = agent.communicate(timeout=10)

    assert agent.returncode == 0
    assert b"kvm: the last scrape still runs" in errors
    assert b"Traceback" not in errors


def test_it_ends_in_time_while_nobody_reads_its_log(tmp_path: Path) -> None:
    read, log = os.pipe()
    os.set_blocking(log, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(log, bytes(4096)):  # a page: it ends up full to the last byte
            pass
    os.set_blocking(log, True)
    try:
        path = config(tmp_path, 'endpoint = "http://127.0.0.1:9"')
        with running(path, log) as agent:
            wait_until_it_heeds_signals(agent)
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(10) == 1
    finally:
        os.close(read)
        os.close(log)


def test_it_ends_at_once_while_it_sleeps_until_the_next_tick(
    tmp_path: Path, receiver: Receiver
) -> None:
    path = config(tmp_path, f'interval = "1h"\nendpoint = "{receiver.url}"')
    with running(path) as agent:
        wait_until_it_heeds_signals(agent)
        receiver.wait_for(1, timeout=20)
        time.sleep(0.5)
        # Addressed to another thread the signal does not wake the main thread, as when it comes
        # just before that one falls asleep.
        other = max(int(thread.name) for thread in Path(f"/proc/{agent.pid}/task").iterdir())
        assert other != agent.pid
        os.kill(other, signal.SIGTERM)
        _out, errors = agent.communicate(timeout=5)

    assert agent.returncode == 0
    assert b"Traceback" not in errors


def wait_until_it_heeds_signals(agent: subprocess.Popen[bytes]) -> None:
    """It holds both ends of the pipe that tells of them, and has held them for a moment."""
    deadline = time.monotonic() + 20
    held = 0
    while held < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        with contextlib.suppress(FileNotFoundError):  # one was closed while we looked
            fds = [fd for fd in Path(f"/proc/{agent.pid}/fd").iterdir() if int(fd.name) > 2]
            opened = [os.readlink(fd) for fd in fds]
            ends = Counter(name for name in opened if name.startswith("pipe:"))
            held = held + 1 if 2 in ends.values() else 0


def test_once_prints_a_table_and_sends_nothing(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path, f'endpoint = "{receiver.url}"', TEST_DRIVER)

    assert main(["--config", str(path), "--once"]) == 0

    table = capsys.readouterr().out
    assert "system.cpu.utilization" in table
    assert "VM test" in table
    assert "8 GiB" in table
    assert receiver.received == []
    assert not (tmp_path / "agent-id").exists()


def test_once_prints_json_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path, rest="[host]\nenabled = false\n" + TEST_DRIVER)

    assert main(["--config", str(path), "--once", "--json"]) == 0

    host, guest = json.loads(capsys.readouterr().out)
    assert guest["resource"]["vm.name"] == "test"
    metrics = {metric["name"]: metric for metric in guest["metrics"]}
    assert metrics["vm.memory.limit"]["value"] == 8 * 2**30
    assert metrics["vm.memory.limit"]["unit"] == "By"
    assert metrics["vm.cpu.utilization"]["kind"] == "gauge"
    assert not any(m["name"].startswith("system.") for m in host["metrics"] + guest["metrics"])


def test_once_tells_by_its_exit_status_that_something_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provider = f'[provider]\nname = "kvm"\nuri = "qemu+unix:///system?socket={tmp_path}/none"\n'

    assert main(["--config", str(config(tmp_path, rest=provider)), "--once"]) == 1

    assert "system.uptime" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("agent", "rest", "message"),
    [
        (
            'interval = "10"',
            "",
            'agent: interval: expected "10s", "5m", "7d" or seconds, got \'10\'',
        ),
        ('interval = "1ms"', "", "agent: interval: must be at least 1, got 0.001"),
        ('endpoint = "collector:4318"', "", "agent: endpoint: expected a URL such as http://127"),
        ("intervall = 3", "", "agent: intervall: unknown; allowed: endpoint, host_id, id_file"),
        ('endpoint = "grpc://x:4317/path"', "", "agent: endpoint: expected grpc://HOST:PORT or"),
        ("", "[[destinations]]\nname = 'a'", "destinations: 1: endpoint: missing"),
        (
            'endpoint = "http://elsewhere"',
            "[[destinations]]\nname = 'a'\nendpoint = 'http://x'",
            "set either [agent] endpoint or [[destinations]]",
        ),
        (
            "",
            2 * "[[destinations]]\nname = 'a'\nendpoint = 'http://x'\n",
            "two destinations are named 'a'",
        ),
        ("", "[host]\nenabled = false", "nothing to measure: enable [host] or name a [provider]"),
        ("", "[provider]\nuri = 'x'", 'provider: name: missing, such as "kvm"'),
        ("", "[provider]\nname = 'zen'", "provider: name: expected one of kvm, got 'zen'"),
        (
            "",
            "[provider]\nname = 'kvm'\nurl = 1",
            "provider: url: unknown; allowed: cpu_interval, disk_interval",
        ),
        ("", "[provider]\nname = 'kvm'\nuri = 1", "provider: uri: expected text, got 1"),
        ("", "[[host", "not valid TOML"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], agent: str, rest: str, message: str
) -> None:
    path = config(tmp_path, agent, rest)

    assert main(["--config", str(path)]) == 2

    errors = capsys.readouterr().err
    assert errors.startswith(f"novacron-agent: {path}: ")
    assert message in errors
    assert errors.count("\n") == 1


def test_a_settings_file_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "/nowhere/agent.toml"]) == 2
    assert "/nowhere/agent.toml: cannot be read: No such file" in capsys.readouterr().err


def test_an_id_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('[agent]\nid_file = "/proc/nowhere/agent-id"\n')
    assert main(["--config", str(path)]) == 2
    assert "set [agent] id_file" in capsys.readouterr().err


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("--config", "--once", "--json", "--version"))


def test_the_agent_loads_nothing_of_the_collector_or_the_ui_nor_what_it_seldom_needs() -> None:
    heavy = "flask dash pyarrow chdb sqlalchemy pandas starlette clickhouse_connect boto3"
    seldom = "grpc google cryptography asyncio"
    code = (
        "import sys, novacron_agent.cli; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()

    assert "novacron_agent" in loaded
    assert set(heavy.split()) & set(loaded) == set()
    assert set(seldom.split()) & set(loaded) == set()
    assert "libvirt" not in loaded, "a provider is loaded when it is asked for"
