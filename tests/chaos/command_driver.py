"""Who orders commands all the time, and asks again until they are taken."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from chaos.effects import Told
from novacron_contract.commands import State, Verb
from novacron_contract.metrics import VmState

_VERBS = {
    Verb.START: 30,
    Verb.STOP: 24,
    Verb.SUSPEND: 14,
    Verb.RESUME: 14,
    Verb.RESET: 10,
    Verb.REBOOT: 8,
}
_STEPS = ((Verb.START, Verb.SUSPEND, Verb.RESUME), (Verb.SUSPEND, Verb.STOP, Verb.START))
_SHARE = 0.08  # of operations that have steps, a short time, a condition, or are cancelled
_AT_ONCE = 6  # guests
_TRIES_S = 120.0
_PAGE = 1000


@dataclass
class Orders:
    """`names`: of guests by their ids."""

    http: httpx.Client
    chance: random.Random
    names: Mapping[str, str]
    operations: list[str] = field(default_factory=list)
    asked_again: int = 0

    def order(self, most: int) -> int:
        """One operation of at most so many commands: how many it has."""
        steps = self._steps(most)
        count = self.chance.randint(1, max(1, min(_AT_ONCE, most // len(steps))))
        vms = self.chance.sample(sorted(self.names), count)
        made = self.ordered(self._body(steps, vms))
        self.cancel_some(made)
        return count * len(steps)

    def start_some(self, count: int) -> int:
        """In one operation, so that there is something to do for other verbs."""
        vms = self.chance.sample(sorted(self.names), min(count, len(self.names)))
        self.ordered({"verb": Verb.START, "targets": {"vms": vms}})
        return len(vms)

    def ordered(
        self, body: Mapping[str, Any], path: str = "/v1/operations", refusals: Container[int] = ()
    ) -> Any:
        key = f"chaos-{self.chance.getrandbits(64):x}"
        headers = {"Idempotency-Key": key}
        made = self.asked(lambda: self.http.post(path, json=body, headers=headers), refusals)
        if made is not None:
            self.operations.append(made["id"])
        return made

    def cancel_some(self, made: Mapping[str, Any]) -> None:
        if self.chance.random() < _SHARE:
            time.sleep(self.chance.uniform(0, 0.3))
            self.asked(lambda: self.http.post(f"/v1/operations/{made['id']}/cancel"))

    def commands_of(self, operation: str) -> list[Mapping[str, Any]]:
        query = f"/v1/commands?operation={operation}&limit={_PAGE}"
        page = self.asked(lambda: self.http.get(query))
        return sorted(page["commands"], key=lambda one: one["step"])

    def finished(self) -> bool:
        running = self.asked(lambda: self.http.get("/v1/operations?state=running&limit=1"))
        return int(running["total"]) == 0

    def told(self) -> tuple[list[Told], int]:
        """Every command, each guest's in the order in which they were given; and how often agents
        were told of any."""
        found: list[Mapping[str, Any]] = []
        for operation in self.operations:
            found += self.commands_of(operation)
        return [_told(one) for one in found], sum(one["deliveries"] for one in found)

    def _steps(self, most: int) -> tuple[Verb, ...]:
        if most >= len(_STEPS[0]) and self.chance.random() < _SHARE:
            return self.chance.choice(_STEPS)
        return tuple(self.chance.choices(list(_VERBS), list(_VERBS.values())))

    def _body(self, steps: tuple[Verb, ...], vms: list[str]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "steps": [_step(verb) for verb in steps],
            "targets": {"vms": vms},
            "timeout": 60,
            "ttl": 600,
        }
        if Verb.RESET in steps or Verb.STOP in steps:
            body["confirm"] = self.names[vms[0]] if len(vms) == 1 else len(vms)
        if Verb.REBOOT in steps:
            body["timeout"] = 3  # firmware does not react to its power button
        if self.chance.random() < _SHARE:
            body["ttl"] = self.chance.choice((1, 2, 3))
        if self.chance.random() < _SHARE:
            body["expect"] = [self.chance.choice((VmState.RUNNING, VmState.STOPPED))]
        return body

    def asked(self, ask: Callable[[], httpx.Response], refusals: Container[int] = ()) -> Any:
        """The collector may be away, or be killed before its answer. None: it refused."""
        deadline = time.monotonic() + _TRIES_S
        while True:
            try:
                answer = ask()
            except httpx.TransportError:
                failed = "no answer"
            else:
                if answer.is_success:
                    return answer.json()
                if answer.status_code in refusals:
                    return None
                failed = f"{answer.status_code} {answer.text}"
                assert answer.status_code >= 500, failed
            assert time.monotonic() < deadline, failed
            self.asked_again += 1
            time.sleep(0.1)


def _step(verb: Verb) -> dict[str, Any]:
    return {"verb": verb, "arguments": {"force": "now"} if verb is Verb.STOP else {}}


def _told(one: Mapping[str, Any]) -> Told:
    return Told(
        id=one["id"],
        vm=one["vm"]["id"],
        verb=Verb(one["verb"]),
        state=State(one["state"]),
        changed=one["detail"].get("changed"),
        error=one["error"],
    )
