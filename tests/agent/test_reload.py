"""SIGHUP: the settings are read again by the agent that runs, and nothing is lost by it."""

from __future__ import annotations

import contextlib
import itertools
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otlp_receiver import Receiver, Response, otlp_receiver

AGENT = [sys.executable, "-m", "novacron_agent"]
TEST_DRIVER = '[provider]\nname = "kvm"\nuri = "test:///default"\n'


class Running:
    """An agent, its settings and its log."""

    def __init__(self, place: Path, agent: subprocess.Popen[bytes]) -> None:
        self.place, self.agent = place, agent

    def reload(self, text: str) -> None:
        write(self.place, text)
        self.agent.send_signal(signal.SIGHUP)

    @property
    def log(self) -> str:
        return (self.place / "log").read_text()

    def end(self) -> int:
        self.agent.send_signal(signal.SIGTERM)
        return self.agent.wait(12)


def write(place: Path, text: str) -> Path:
    path = place / "agent.toml"
    path.write_text(f'[agent]\nid_file = "{place}/agent-id"\ninterval = "1s"\n{text}')
    return path


@contextmanager
def running(place: Path, text: str) -> Iterator[Running]:
    path = write(place, text)
    with (
        (place / "log").open("wb") as log,
        subprocess.Popen([*AGENT, "--config", str(path)], stderr=log) as agent,
    ):
        try:
            yield Running(place, agent)
        finally:
            agent.kill()  # if it has not ended as it should


def wait_until(is_so: Callable[[], bool], timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def to(receiver: Receiver) -> str:
    return f'endpoint = "{receiver.url}"\n'


def uptimes(receiver: Receiver) -> list[int]:
    """Times at which the machine was measured."""
    return sorted(
        point.time_unix_nano
        for one in receiver.accepted
        for resource in one.message.resource_metrics
        for metric in resource.scope_metrics[0].metrics
        if metric.name == "system.uptime"
        for point in metric.gauge.data_points
    )


def names(receiver: Receiver) -> set[str]:
    return {
        attribute.value.string_value
        for one in receiver.received
        for resource in one.message.resource_metrics
        for attribute in resource.resource.attributes
        if attribute.key == "vm.name"
    }


def test_what_waited_goes_where_the_new_settings_say(tmp_path: Path) -> None:
    with (
        otlp_receiver(otherwise=lambda _: Response(503)) as away,
        otlp_receiver() as there,
        running(tmp_path, to(away)) as agent,
    ):
        away.wait_for(2, timeout=20)
        since = time.time_ns()
        time.sleep(2.5)
        agent.reload(to(there))
        wait_until(lambda: len(uptimes(there)) >= 7)
        status = agent.end()

    assert status == 0, agent.log
    times = uptimes(there)
    assert times[0] < since
    assert len(times) == len(set(times))
    apart = [(after - before) / 1e9 for before, after in itertools.pairwise(times)]
    assert max(apart) < 5
    assert "was read again, and takes effect" in agent.log
    assert "Traceback" not in agent.log


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("interval = 3\n[[host", "not valid TOML"),
        ("intervall = 3\n", "agent: intervall: unknown"),
        ("[provider]\nname = 'kvm'\nurl = 1\n", "provider: url: unknown"),
        (
            "[[destinations]]\nname='x'\nendpoint='https://x'\nca_file='/nowhere'\n",
            "destination x: /nowhere: cannot be used",
        ),
        ("id_file = '/proc/nowhere/id'\n", "the id cannot be written"),
    ],
)
def test_settings_that_are_wrong_are_refused_in_one_line(
    tmp_path: Path, bad: str, complaint: str
) -> None:
    with otlp_receiver() as there, running(tmp_path, to(there)) as agent:
        there.wait_for(1, timeout=20)
        (tmp_path / "agent.toml").write_text(f"[agent]\n{bad}")
        agent.agent.send_signal(signal.SIGHUP)
        wait_until(lambda: "the settings before stay" in agent.log)
        seen = len(there.received)
        there.wait_for(seen + 2, timeout=10)
        assert agent.end() == 0

    [line] = [line for line in agent.log.splitlines() if "ERROR" in line]
    assert complaint in line
    assert "Traceback" not in agent.log


def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    with otlp_receiver() as there, running(tmp_path, to(there)) as agent:
        there.wait_for(1, timeout=20)
        (tmp_path / "agent.toml").unlink()
        agent.agent.send_signal(signal.SIGHUP)
        wait_until(lambda: "cannot be read: No such file" in agent.log)
        there.wait_for(len(there.received) + 2, timeout=10)
        assert agent.end() == 0


def test_guests_are_measured_from_when_a_provider_is_named(tmp_path: Path) -> None:
    with otlp_receiver() as there, running(tmp_path, to(there)) as agent:
        there.wait_for(2, timeout=20)
        assert names(there) == set()
        agent.reload(to(there) + TEST_DRIVER)
        wait_until(lambda: names(there) == {"test"})
        assert agent.end() == 0


def test_the_log_tells_as_much_as_is_asked_for(tmp_path: Path) -> None:
    with otlp_receiver() as there, running(tmp_path, to(there)) as agent:
        wait_until(lambda: "first export" in agent.log)
        agent.reload(to(there) + 'log_level = "error"\n')
        wait_until(lambda: "takes effect" in agent.log)
        before = agent.log
        there.wait_for(len(there.received) + 3, timeout=10)
        quiet = agent.log
        agent.reload(to(there) + 'log_level = "debug"\n')
        wait_until(lambda: agent.log.count("first export") == 2)
        assert agent.end() == 0

    assert quiet == before
    assert "HTTP" not in agent.log, "not every request, nor its headers"


def test_many_signals_do_not_keep_it_from_ending(tmp_path: Path) -> None:
    with otlp_receiver() as there, running(tmp_path, to(there)) as agent:
        there.wait_for(1, timeout=20)
        for _ in range(500):
            agent.agent.send_signal(signal.SIGHUP)
        seen = len(there.received)
        there.wait_for(seen + 2, timeout=20)
        agent.agent.send_signal(signal.SIGHUP)
        started = time.monotonic()
        assert agent.end() == 0, agent.log

    assert time.monotonic() - started < 8
    assert "Traceback" not in agent.log


def test_it_ends_with_its_terminal(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    with otlp_receiver() as there:
        command = [*AGENT, "--config", str(write(tmp_path, to(there)))]
        with subprocess.Popen(command, stderr=its) as agent:
            os.close(its)
            there.wait_for(1, timeout=20)
            agent.send_signal(signal.SIGHUP)
            there.wait_for(len(there.received) + 3, timeout=20)
            os.close(ours)
            with contextlib.suppress(ProcessLookupError):
                agent.send_signal(signal.SIGHUP)
            try:
                assert agent.wait(12) == 0
            finally:
                agent.kill()


def test_systemd_knows_how() -> None:
    unit = Path(__file__).parents[2] / "packaging/systemd/novacron-agent.service"
    assert "\nExecReload=/bin/sh -c 'kill -HUP $MAINPID'\n" in unit.read_text()
