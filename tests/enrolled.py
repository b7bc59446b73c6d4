"""A collector's port for agents, and agents that join it as those on hosts do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from collector_program import CollectorProgram, collector_program
from novacron_agent.enrolment.membership import Membership, read_membership, ssl_context
from novacron_collector.tls.authority import open_authority
from novacron_contract.access import SYSTEM
from novacron_store.state import open_state
from novacron_store.state.audit import Caller
from novacron_store.state.identities import Identities
from novacron_store.state.join_tokens import JoinTokens

ADMIN = Caller(SYSTEM, "192.0.2.1")
SOON_S = 5.0


@dataclass
class World:
    """`state` is opened a second time, as another process of the collector has it."""

    collector: CollectorProgram
    state: Engine
    folder: Path

    @property
    def identities(self) -> Identities:
        return Identities(self.state)

    @property
    def pin(self) -> str:
        return open_authority(self.collector.folder / "authority").pin

    def secret(self, uses: int = 1, lasts: timedelta = timedelta(hours=1)) -> str:
        now = datetime.now(UTC)
        return JoinTokens(self.state).create("lab", ADMIN, now, now + lasts, uses)[1]

    def line(
        self, secret: str | None = None, pin: str | None = None, address: str | None = None
    ) -> str:
        """`address`: HOST:PORT, where the collector is found through something between."""
        there = address or self.collector.agents
        return f"https://{there}#{pin or self.pin}:{secret or self.secret()}"

    def agent(self, name: str, host_id: str | None = "h-1") -> Agent:
        folder = self.folder / name
        folder.mkdir()
        host = f'host_id = "{host_id}"\n[host]\nenabled = true\n' if host_id else _ELSEWHERE
        text = f'[agent]\nid_file = "{folder}/agent-id"\ninterval = "1s"\n{host}'
        (folder / "agent.toml").write_text(text)
        return Agent(folder)

    def joined(self, name: str, host_id: str | None = "h-1") -> Agent:
        agent = self.agent(name, host_id)
        ended = agent.join(self.line())
        assert ended.returncode == 0, ended.stderr
        return agent


_ELSEWHERE = '[host]\nenabled = false\n[provider]\nname = "kvm"\nuri = "test:///default"\n'


@dataclass(frozen=True)
class Agent:
    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "agent.toml"

    @property
    def id(self) -> str:
        return (self.folder / "agent-id").read_text().strip()

    @property
    def membership(self) -> Membership:
        found = read_membership(self.folder / "identity")
        assert found is not None
        return found

    def run(self, *arguments: str, line: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "novacron_agent", "--config", str(self.config), *arguments]
        return subprocess.run(
            command, input=line, capture_output=True, text=True, timeout=60, check=False
        )

    def join(self, line: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("join", *arguments, line=f"{line}\n")

    def client(self) -> httpx.Client:
        """As the agent's own is."""
        context = ssl_context(self.folder / "identity")
        return httpx.Client(base_url=self.membership.url, verify=context, trust_env=False)


@contextmanager
def enrolling(
    folder: Path, more: str = "", listen: str = "", api: str = "", state_url: str = ""
) -> Iterator[World]:
    """`listen`: lines of that table, in place of what is there otherwise."""
    with collector_program(
        folder / "collector", more=more, listen=listen, api=api, state=state_url
    ) as collector:
        state = open_state(collector.state_url)
        try:
            yield World(collector, state, folder)
        finally:
            state.dispose()


def soon(status: int, ask: httpx.Client, path: str = "/v1/agents/renew") -> httpx.Response:
    """The answer as soon as it has this status."""
    deadline = time.monotonic() + SOON_S
    while (answer := ask.post(path, json={})).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    return answer


@contextmanager
def running(agent: Agent) -> Iterator[None]:
    """It runs as it does on a host."""
    command = [sys.executable, "-m", "novacron_agent", "--config", str(agent.config)]
    with (agent.folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def until(what: Callable[[], Any], seconds: float = 30) -> Any:
    """What it returns as soon as that is something."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found
