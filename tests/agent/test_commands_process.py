"""Commands to an agent as a process of its own, which has joined: by TLS, with its certificate."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from certificates import Certificates, certificates
from command_collector import Collector, command_collector
from novacron_agent.enrolment.membership import Membership, write_membership
from novacron_contract.commands import VERBS, Order, State, Verb

VM = "6695eb01-f6a4-8304-79aa-97f2502e193f"  # the guest that libvirt's test driver has


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def collector(tls: Certificates) -> Iterator[Collector]:
    with command_collector(tls=tls.server_context(ask_client=True)) as collector:
        yield collector


def order(verb: Verb) -> Order:
    return Order(
        id=str(uuid.uuid4()),
        verb=verb,
        vm_id=VM,
        arguments=VERBS[verb].parse({}),
        ttl_ms=60_000,
        timeout_s=60.0,
    )


@dataclass(frozen=True)
class Running:
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def status(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(
                (self.folder / "agent-id.status.json").read_text()
            ).get("commands", {})
        except FileNotFoundError:
            return {}
        return found

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def reload(self, commands: str) -> None:
        write(self.folder, commands)
        self.process.send_signal(signal.SIGHUP)


def write(folder: Path, commands: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(
        f'[agent]\nid_file = "{folder}/agent-id"\ninterval = "1s"\nendpoint = "http://127.0.0.1:1"\n'
        f'[provider]\nname = "kvm"\nuri = "test:///default"\n[commands]\n{commands}\n'
    )
    return path


def join(folder: Path, tls: Certificates, collector: Collector) -> None:
    identity = folder / "identity"
    identity.mkdir(mode=0o700)
    (identity / "agent.pem").write_bytes(tls.cert.read_bytes() + tls.key.read_bytes())
    (identity / "ca.pem").write_bytes(tls.ca.read_bytes())
    now = time.time()
    write_membership(
        Membership(
            folder=identity,
            url=collector.url,
            agent_id=str(uuid.uuid4()),
            pin="",
            serial="1",
            begins=now,
            ends=now + 86400,
        )
    )


@contextmanager
def running(folder: Path, commands: str = "") -> Iterator[Running]:
    path = write(folder, commands)
    command = [sys.executable, "-m", "novacron_agent", "--config", str(path)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stderr=log) as process,
    ):
        try:
            yield Running(folder, process)
        finally:
            process.kill()


def wait_until(is_so: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def error(collector: Collector, verb: Verb) -> str:
    one = order(verb)
    collector.order(one)
    return collector.end(one.id).error


def test_an_agent_that_joined_takes_commands_and_measures_on(
    tmp_path: Path, tls: Certificates, collector: Collector
) -> None:
    join(tmp_path, tls, collector)
    with running(tmp_path) as agent:
        for verb in (Verb.SUSPEND, Verb.RESUME, Verb.STOP, Verb.START):
            one = order(verb)
            collector.order(one)
            end = collector.end(one.id)
            assert (end.state, end.detail["changed"]) == (State.SUCCEEDED, True), end.error
        wait_until(lambda: agent.status.get("ended") == {"succeeded": 4})
        maps = Path(f"/proc/{agent.process.pid}/maps").read_text()
        assert "cryptography" not in maps, "10 MB that an agent does not hold"

        agent.reload('verbs = ["start"]')
        wait_until(lambda: "takes effect" in agent.log)
        # Soon after it says so; until then this does nothing, as the guest runs.
        wait_until(lambda: "does not allow resume" in error(collector, Verb.RESUME))
        assert "does not allow stop" in error(collector, Verb.STOP)

        agent.reload("enabled = false")
        wait_until(lambda: agent.status == {})
        agent.reload("")
        one = order(Verb.SUSPEND)
        collector.order(one)
        assert collector.end(one.id).state is State.SUCCEEDED
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(8) == 0
    assert collector.instances == {collector.hellos[0]["instance"]}


def test_an_agent_that_is_killed_goes_on_with_its_journal(
    tmp_path: Path, tls: Certificates, collector: Collector
) -> None:
    """Answers to reports are lost, and so are agents."""
    join(tmp_path, tls, collector)
    orders = [order(Verb.RESET) for _ in range(6)]
    collector.loses = lambda path: path.endswith("/events")
    with running(tmp_path) as agent:
        collector.order(*orders)
        collector.wait_for(lambda: any(r.state.is_final for r in collector.reports.values()))
        agent.process.kill()
    collector.loses = lambda _path: False
    with running(tmp_path):
        ends = collector.ends([one.id for one in orders])
    assert {end.state for end in ends.values()} <= {State.SUCCEEDED, State.OUTCOME_UNKNOWN}
    assert len(collector.instances) == 1


def test_an_agent_that_has_not_joined_asks_nobody(tmp_path: Path, collector: Collector) -> None:
    with running(tmp_path) as agent:
        wait_until(lambda: (tmp_path / "agent-id.status.json").exists())
        assert agent.status == {}
    assert not (tmp_path / "agent-id.journal.sqlite").exists()
    assert collector.polls == 0
