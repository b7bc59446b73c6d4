"""Commands while everything is killed, and what became of them and of the guests."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos.command_driver import Orders
from chaos.effects import Told, effects, violations
from chaos.proxy import Fault, Kind, Proxy, Weather
from collector_program import CollectorProgram
from commanded_fleet import AgentProgram, Fleet, commanded_fleet
from delivering import wait_until
from hypervisors import Driver, Happened, Hypervisors, hypervisors, settle
from novacron_contract.commands import State
from novacron_store.state import Audit
from novacron_store.state.audit import Wanted

_REDELIVER = '[commands]\nredeliver = "1s"\n'
_ENDED_S = 240.0  # after the last kill
_TLS_BYTES = 9_000  # a handshake, and some requests or answers
_CONNECTIONS, _EVERYBODY, _COLLECTOR = 0.15, 0.2, 0.35  # who is struck; above that, agents
_LOST = (Kind.CUT_ANSWER, Kind.DROP_ANSWER)
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Plan:
    """The seed decides when what happens. `agents` are for each driver, `guests` for each agent of
    QEMU's; libvirt's own cost nothing, so these have twice as many."""

    seed: int
    commands: int
    agents: int = 3
    guests: int = 4
    pause_s: float = 0.4  # between two operations
    calm_s: float = 1.2  # between two kills
    state_url: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    plan: Plan
    seconds: float
    killed: Counter[str]
    struck: Counter[Kind]
    asked_again: int
    deliveries: int
    told: Sequence[Told]
    happened: int
    violations: tuple[str, ...]

    def rows(self) -> Iterator[tuple[str, object]]:
        """Names and figures, as a table shows them."""
        yield "seed", self.plan.seed
        yield "seconds", round(self.seconds)
        yield from ((f"kills of {name}", n) for name, n in sorted(self.killed.items()))
        yield from ((f"faults: {kind}", n) for kind, n in sorted(self.struck.items()))
        yield "answers lost", sum(self.struck[kind] for kind in _LOST)
        yield "requests of people asked again", self.asked_again
        yield "commands", len(self.told)
        yield "deliveries", self.deliveries
        yield "effects on guests", self.happened
        states = Counter((one.verb.value, one.state.value) for one in self.told)
        yield from ((f"{verb}: {state}", n) for (verb, state), n in sorted(states.items()))
        opened = sum(one.state is State.SUCCEEDED and one.changed is None for one in self.told)
        yield "succeeded, by whom is open", opened


@dataclass
class Storm:
    plan: Plan
    folder: Path
    say: Callable[[str], None]
    _killed: Counter[str] = field(default_factory=Counter)

    def run(self) -> Report:
        began = time.monotonic()
        more, url = _REDELIVER, self.plan.state_url
        with (
            hypervisors(calls=True) as found,
            commanded_fleet(self.folder, found, more, url) as fleet,
        ):
            weather = Weather(
                random.Random(self.plan.seed),
                share=0.8,
                calm=True,
                requests=_TLS_BYTES,
                answers=_TLS_BYTES,
            )
            with proxied(fleet.world.collector.agents, weather) as proxy:
                return self._storm(fleet, found, weather, proxy, began)

    def _storm(
        self, fleet: Fleet, found: Hypervisors, weather: Weather, proxy: Running, began: float
    ) -> Report:
        plan = self.plan
        fleet.add(Driver.QEMU, plan.agents, plan.guests, proxy.proxy.address)
        fleet.add(Driver.TEST, plan.agents, 2 * plan.guests, proxy.proxy.address)
        fleet.start()
        self.say(f"{len(fleet.agents)} agents with {len(fleet.vms)} guests have joined")
        weather.calm = False
        with fleet.operator() as http:
            orders = Orders(http, random.Random(plan.seed + 1), fleet.vms)
            with self._killing(fleet, proxy):
                self._order(orders)
            self.say("it is calm now")
            weather.calm = True
            proxy.reset_all()
            wait_until(orders.finished, _ENDED_S)
            told, deliveries = orders.told()
        settle()
        events, calls = found.events(), found.calls()
        wrong = (*violations(told, events, calls), *_audited(fleet, told))
        return Report(
            plan=plan,
            seconds=time.monotonic() - began,
            killed=self._killed,
            struck=proxy.proxy.struck,
            asked_again=orders.asked_again,
            deliveries=deliveries,
            told=told,
            happened=_number(events, calls),
            violations=wrong,
        )

    def _order(self, orders: Orders) -> None:
        done = orders.start_some(self.plan.commands // 10)
        while done < self.plan.commands:
            done += orders.order(self.plan.commands - done)
            self.say(f"{done} of {self.plan.commands} commands, {self._killed.total()} kills")
            time.sleep(orders.chance.uniform(0, 2 * self.plan.pause_s))

    @contextmanager
    def _killing(self, fleet: Fleet, proxy: Running) -> Iterator[None]:
        over = threading.Event()
        failed: list[BaseException] = []

        def kill() -> None:
            chance = random.Random(self.plan.seed + 2)
            try:
                while not over.wait(chance.uniform(0, 2 * self.plan.calm_s)):
                    self._strike(fleet, proxy, chance)
            except BaseException as err:  # noqa: BLE001  # who waits for this thread gets it
                failed.append(err)

        thread = threading.Thread(target=kill, name="killer")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        assert not failed, failed[0]

    def _strike(self, fleet: Fleet, proxy: Running, chance: random.Random) -> None:
        """Every connection, or everybody, the collector, an agent or several; first everybody."""
        roll = chance.random() if self._killed else _EVERYBODY
        if roll < _CONNECTIONS:
            proxy.reset_all()
            return
        collector: list[CollectorProgram] = [fleet.world.collector] if roll < _COLLECTOR else []
        number = len(fleet.agents) if roll <= _EVERYBODY else chance.choice((1, 1, 2, 3))
        agents = chance.sample(fleet.agents, number) if not collector or roll <= _EVERYBODY else []
        victims: list[CollectorProgram | AgentProgram] = [*agents, *collector]
        for victim in victims:
            victim.kill()
        self._killed["novacron-collector"] += len(collector)
        self._killed["novacron-agent"] += len(agents)
        time.sleep(chance.choice((0, chance.uniform(0, 2))))
        for victim in victims:
            victim.start()


@dataclass
class Running:
    """A proxy in a loop and a thread of its own."""

    proxy: Proxy
    _loop: asyncio.AbstractEventLoop | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: threading.Event = field(default_factory=threading.Event)

    def reset_all(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.proxy.reset_all)

    def end(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._over.set)

    def wait(self) -> None:
        assert self._ready.wait(10)

    async def serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self.proxy.serving():
            self._ready.set()
            await self._over.wait()


@contextmanager
def proxied(upstream: str, fault: Callable[[], Fault]) -> Iterator[Running]:
    running = Running(Proxy(upstream, fault))
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(asyncio.run, running.serve())
        running.wait()
        try:
            yield running
        finally:
            running.end()
            served.result(10)


def _audited(fleet: Fleet, told: Sequence[Told]) -> Iterator[str]:
    """The chain holds, and has each command's end once."""
    audit = Audit(fleet.world.state)
    verified = audit.verify()
    if verified.bad_seq is not None:
        yield f"audit: row {verified.bad_seq}: {verified.problem}"
    ends = Counter(_ends(audit))
    for one in told:
        if ends[one.id, f"command.{one.state}"] != 1:
            yield f"audit: not once on record: {one}"
    for row in audit.rows(Wanted(action="command.contradiction"), limit=10):
        yield f"audit: {row.action} of {row.target}: {row.reason}"
    known = {one.id for one in told}
    for command, action in ends:
        if command not in known:
            yield f"audit: {action} of {command}, which nobody ordered"


def _ends(audit: Audit) -> Iterator[tuple[str, str]]:
    for state in State:
        if not state.is_final:
            continue
        before: int | None = None
        while rows := audit.rows(Wanted(action=f"command.{state}"), before=before, limit=_PAGE):
            yield from ((json.loads(row.detail)["command"], row.action) for row in rows)
            before = rows[-1].seq


def _number(events: Sequence[Happened], calls: Sequence[Happened]) -> int:
    opaque = sum(call.kind in ("Reset", "Reboot") for call in calls)
    return sum(map(len, effects(events).values())) + opaque
