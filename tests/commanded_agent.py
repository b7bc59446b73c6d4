"""An agent as the wire contract has it, without libvirt: it loses answers, is killed at any point,
and comes back with its journal, or without."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import httpx

from novacron_contract.commands import VERBS, Effect, Order, Report, State, order


class Killed(Exception):
    """As `kill -9` does: what is not in the journal is forgotten."""


@dataclass
class Entry:
    order: Order
    state: State = State.ACCEPTED
    number: int = 0
    unsent: list[Report] = field(default_factory=list)


@dataclass
class Journal:
    """What survives the agent."""

    instance: str = field(default_factory=lambda: str(uuid4()))
    entries: dict[str, Entry] = field(default_factory=dict)

    def write(
        self,
        entry: Entry,
        state: State,
        error: str = "",
        detail: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        entry.state = state
        entry.number += 1
        entry.unsent.append(
            Report(
                command_id=entry.order.id,
                number=entry.number,
                state=state,
                error=error,
                detail=detail,
            )
        )


@dataclass
class Trouble:
    """How often, of 1."""

    lost_answers: float = 0.0
    killed: float = 0.0
    doubled: float = 0.0
    fails: float = 0.0


@dataclass
class FakeAgent:
    """`effects`: by command, what was really done to VMs. `guest_is`: by VM, the last verb."""

    client: httpx.AsyncClient
    seed: int
    trouble: Trouble = field(default_factory=Trouble)
    journal: Journal = field(default_factory=Journal)
    effects: Counter[str] = field(default_factory=Counter)
    busy_vms: set[str] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0
    kills: int = 0
    polls: int = 0
    most: int = 5
    wait_s: float = 0.5
    duration_s: float = 0.0
    obey: Callable[[Order], str] = lambda _: ""  # an error; "": it succeeds
    tells: Callable[[Order], Mapping[str, Any]] = lambda _: {}  # detail of what succeeded
    cancelled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    async def live(self) -> None:
        """Until cancelled: each time it is killed it starts again."""
        while True:
            try:
                await self._hello()
                self._replay()
                while True:
                    await self.once()
            except Killed:
                self.kills += 1
                self.busy_vms.clear()
                self.at_once = 0
            except (httpx.HTTPError, Away):
                await asyncio.sleep(0.05)

    async def once(self) -> None:
        await self._report()
        for one in await self._poll():
            self._note(one)
        await asyncio.gather(*(self._do(entry) for entry in self._to_do()))
        await self._report()

    async def _hello(self) -> None:
        about = {"version": "0.1.0", "boot_id": "b", "provider": "kvm"}
        verbs = [verb.value for verb in VERBS]
        await self._post("hello", {"instance": self.journal.instance, "verbs": verbs, **about})

    async def _poll(self) -> list[Order]:
        self.polls += 1
        query: dict[str, str | float] = {"wait": self.wait_s, "max": self.most}
        query["instance"] = self.journal.instance
        answer = await self.client.get("/v1/agents/self/commands", params=query)
        self._may_lose(answer)
        told = answer.json()
        self.cancelled |= set(told["cancelled"])
        return [order(raw) for raw in told["orders"]]

    def _note(self, one: Order) -> None:
        self._may_die()
        entry = self.journal.entries.get(one.id)
        if entry is not None:
            return
        entry = self.journal.entries[one.id] = Entry(one)
        if one.ttl_ms <= 0:
            self.journal.write(entry, State.EXPIRED, "it came too late")
        else:
            self.journal.write(entry, State.ACCEPTED)

    def _to_do(self) -> list[Entry]:
        ready = [one for one in self.journal.entries.values() if one.state is State.ACCEPTED]
        for entry in ready:
            if entry.order.id in self.cancelled:
                self.journal.write(entry, State.CANCELLED)
        return [one for one in ready if one.state is State.ACCEPTED]

    async def _do(self, entry: Entry) -> None:
        vm = entry.order.vm_id
        assert vm not in self.busy_vms, "two commands of one VM at a time"
        self.busy_vms.add(vm)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        self.journal.write(entry, State.RUNNING)
        self._may_die()
        if self.duration_s:
            await self._report()
            await asyncio.sleep(self.duration_s)
        self._act(entry)
        self.busy_vms.discard(vm)
        self.at_once -= 1

    def _act(self, entry: Entry) -> None:
        error = self.obey(entry.order)
        if error or self.random.random() < self.trouble.fails:
            self.journal.write(entry, State.FAILED, error or "the hypervisor says no")
            return
        self.effects[entry.order.id] += 1
        self._may_die()
        self.journal.write(entry, State.SUCCEEDED, detail=self.tells(entry.order))

    def _replay(self) -> None:
        """What was begun when it was killed, by the class of its effect."""
        for entry in list(self.journal.entries.values()):
            if entry.state is not State.RUNNING:
                continue
            if VERBS[entry.order.verb].effect is Effect.OPAQUE:
                self.journal.write(entry, State.OUTCOME_UNKNOWN, "killed in the middle")
            elif self.effects[entry.order.id]:  # it looks at the VM: it is as ordered
                self.journal.write(entry, State.SUCCEEDED)
            else:
                self._act(entry)

    async def _report(self) -> None:
        unsent = [of for entry in self.journal.entries.values() for of in entry.unsent][:100]
        if not unsent:
            return
        sent = list(unsent)
        if self.random.random() < self.trouble.doubled:
            sent = (sent + sent)[:100]
            self.random.shuffle(sent)
        body = {"instance": self.journal.instance, "reports": [of.as_json() for of in sent]}
        answer = await self._post("events", body)
        taken = {(of["command_id"], of["number"]) for of in answer["taken"]}
        assert answer["unknown"] == []
        for entry in self.journal.entries.values():
            left = [of for of in entry.unsent if (of.command_id, of.number) not in taken]
            if self.random.random() < self.trouble.doubled:
                left = list(entry.unsent)  # it forgot that they were taken
            entry.unsent = left

    async def _post(self, what: str, body: dict[str, Any]) -> Any:
        answer = await self.client.post(f"/v1/agents/self/{what}", json=body)
        self._may_lose(answer)
        return answer.json()

    def _may_lose(self, answer: httpx.Response) -> None:
        if answer.status_code >= 500 or self.random.random() < self.trouble.lost_answers:
            raise Away(answer.text)
        assert answer.status_code == 200, answer.text
        self._may_die()

    def _may_die(self) -> None:
        if self.random.random() < self.trouble.killed:
            raise Killed

    def lose_journal(self) -> None:
        self.journal = replace(Journal())


class Away(Exception):
    """The answer never came."""
