"""Somebody who may order things over VMs of a collector that has agents."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from cli.runs import Ended
from command_service import CommandService
from command_world import World
from novacron_cli.main import main
from novacron_contract.access import Role
from principals import signed_in


@dataclass
class Ordering:
    service: CommandService
    headers: dict[str, str]
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    @property
    def world(self) -> World:
        return self.service.world

    def run(self, *words: str) -> Ended:
        code = main(words)
        told = self.capsys.readouterr()
        return Ended(code, told.out, told.err)

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").out)

    def api(self, path: str) -> Any:
        return httpx.get(f"{self.service.url}{path}", headers=self.headers, timeout=60).json()

    def as_role(self, role: Role) -> None:
        self.headers = signed_in(self.world.engine, role)
        self.monkeypatch.setenv("NOVACRON_TOKEN", self.headers["Authorization"][7:])

    def operations(self) -> list[Any]:
        found: list[Any] = self.api("/v1/operations")["operations"]
        return found


Served = Callable[..., Ordering]
