"""NovaCron's programs on one machine: how each is started, and how it shows that it is ready."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from sqlalchemy import Engine

from novacron_cli.up.addresses import Addresses
from novacron_cli.up.data_folder import DataFolder
from novacron_cli.up.program import Program
from novacron_contract.errors import ConfigError, NotFound
from novacron_store.state import Agents

_AGENT_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Stack:
    data: DataFolder
    addresses: Addresses
    state: Engine

    def store(self) -> Program:
        return self._program("store", f"http://{self.addresses.store}/ping")

    def collector(self) -> Program:
        return self._program("collector", f"{self.api_url}/readyz")

    @property
    def api_url(self) -> str:
        return self.data.client(self.addresses).url

    def ui(self) -> Program:
        return self._program("ui", f"http://{self.addresses.ui}/healthz")

    def agent(self, name: str) -> Program:
        command = command_of("novacron-agent", self.data.config(name))
        return Program(name, command, self._reports(name), _AGENT_PATIENCE)

    def join(self, name: str) -> tuple[str, ...]:
        """The command by which the agent joins; it reads the line that lets it."""
        return (*command_of("novacron-agent", self.data.config(name)), "join", "--again")

    def _program(self, name: str, url: str) -> Program:
        command = command_of(f"novacron-{name}", self.data.config(name))
        return Program(name, command, lambda: self._get(url) is not None)

    def _reports(self, name: str) -> Callable[[], bool]:
        """Has the collector heard of the agent since now?"""
        asked = datetime.now(UTC)

        def is_ready() -> bool:
            try:
                seen = Agents(self.state).agent(_agent_identity(self.data, name)).last_seen
            except NotFound:
                return False
            return seen > asked

        return is_ready

    def _trusted(self) -> ssl.SSLContext | bool:
        """Read each time: the collector makes its authority when it starts."""
        authority = self.data.client(self.addresses).ca_file
        return True if authority is None else ssl.create_default_context(cafile=authority)

    def _get(self, url: str) -> httpx.Response | None:
        try:
            with httpx.Client(timeout=2.0, trust_env=False, verify=self._trusted()) as http:
                answer = http.get(url)
        except (httpx.HTTPError, OSError):
            return None
        return answer if answer.status_code == httpx.codes.OK else None


def command_of(program: str, config: Path) -> tuple[str, ...]:
    """The program that was installed beside this Python, started by this Python."""
    path = Path(sys.executable).with_name(program)
    if not path.exists():
        raise ConfigError(f"{path} is missing; install it with: pip install 'novacron[all]'")
    return (sys.executable, str(path), "--config", str(config))


def _agent_identity(data: DataFolder, name: str) -> str:
    try:
        return data.agent_id(name).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
