"""NovaCron's programs on one machine: how each is started, and how it shows that it is ready."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from novacron_cli.up.addresses import Addresses
from novacron_cli.up.data_folder import DataFolder
from novacron_cli.up.program import Program
from novacron_contract.errors import ConfigError

_AGENT_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Stack:
    data: DataFolder
    addresses: Addresses
    http: httpx.Client

    def store(self) -> Program:
        return self._program("store", f"http://{self.addresses.store}/ping")

    def collector(self) -> Program:
        return self._program("collector", f"http://{self.addresses.api}/readyz")

    def ui(self) -> Program:
        return self._program("ui", f"http://{self.addresses.ui}/healthz")

    def agent(self, name: str) -> Program:
        command = _command("novacron-agent", self.data.config(name))
        return Program(name, command, self._reports(name), _AGENT_PATIENCE)

    def join(self, name: str) -> tuple[str, ...]:
        """The command by which the agent joins; it reads the line that lets it."""
        return (*_command("novacron-agent", self.data.config(name)), "join", "--again")

    def _program(self, name: str, url: str) -> Program:
        command = _command(f"novacron-{name}", self.data.config(name))
        return Program(name, command, lambda: self._get(url) is not None)

    def _reports(self, name: str) -> Callable[[], bool]:
        """Has the collector heard of the agent since now?"""
        asked = time.monotonic()

        def is_ready() -> bool:
            answer = self._get(f"http://{self.addresses.api}/v1/agents")
            agents = answer.json()["agents"] if answer is not None else []
            since = time.monotonic() - asked
            identity = _agent_identity(self.data, name)
            return any(a["id"] == identity and a["seen_age_s"] < since for a in agents)

        return is_ready

    def machines(self) -> dict[str, list[dict[str, Any]]]:
        """The hosts and VMs the collector knows."""
        found: dict[str, list[dict[str, Any]]] = {}
        for kind in ("hosts", "vms"):
            answer = self._get(f"http://{self.addresses.api}/v1/{kind}")
            found[kind] = answer.json()[kind] if answer is not None else []
        return found

    def _get(self, url: str) -> httpx.Response | None:
        try:
            answer = self.http.get(url)
        except httpx.HTTPError:
            return None
        return answer if answer.status_code == httpx.codes.OK else None


def _command(program: str, config: Path) -> tuple[str, ...]:
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
