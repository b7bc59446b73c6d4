"""Commands while everything is killed, and what became of them and of the guests."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaos.command_driver import Orders
from chaos.command_report import Plan, Report
from chaos.creation_driver import PATTERN, Creations
from chaos.creations import census, misfits
from chaos.effects import Told, effects, violations
from chaos.journals import in_hand
from chaos.proxy import Weather
from chaos.running_proxy import Running, proxied
from collector_program import CollectorProgram
from commanded_fleet import AgentProgram, Fleet, commanded_fleet
from creating_world import World, worlds_of
from delivering import wait_until
from hypervisors import Driver, Happened, Hypervisors, hypervisors, settle
from novacron_contract.access import Role
from novacron_contract.commands import State, Verb
from novacron_store.state import Audit
from novacron_store.state.audit import Wanted

_REDELIVER = '[commands]\nredeliver = "1s"\n'
_ENDED_S = 240.0  # after the last kill
_TLS_BYTES = 9_000  # a handshake, and some requests or answers
_CONNECTIONS, _EVERYBODY, _COLLECTOR = 0.15, 0.2, 0.35  # who is struck; above that, agents
_CREATIONS = 0.4  # of operations
_IN_THE_MIDDLE, _MAKING_S = 0.5, 0.8  # who makes VMs is struck while it does, that often
_OF_HOSTS = (Verb.CREATE, Verb.DELETE)
_PAGE = 1000


@dataclass
class Storm:
    plan: Plan
    folder: Path
    say: Callable[[str], None]
    _killed: Counter[str] = field(default_factory=Counter)
    _cut_off: int = 0
    _ordered: threading.Event = field(default_factory=threading.Event)  # that a VM comes or goes

    def run(self) -> Report:
        began = time.monotonic()
        more, url = _REDELIVER, self.plan.state_url
        with (
            hypervisors(calls=True) as found,
            worlds_of({"maker-a": found.host, "maker-b": found.beside}, found.folder) as worlds,
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
                self._populate(fleet, worlds, proxy.proxy.address)
                return self._storm(fleet, found, worlds, weather, proxy, began)

    def _populate(self, fleet: Fleet, worlds: Mapping[str, World], address: str) -> None:
        plan = self.plan
        fleet.add(Driver.QEMU, plan.agents, plan.guests, address)
        fleet.add(Driver.TEST, plan.agents, 2 * plan.guests, address)
        for name, world in worlds.items():
            fleet.add_host(name, world.host.uri, PATTERN, address)
        fleet.start()
        self.say(f"{len(fleet.agents)} agents with {len(fleet.vms)} guests have joined")

    def _storm(
        self,
        fleet: Fleet,
        found: Hypervisors,
        worlds: Mapping[str, World],
        weather: Weather,
        proxy: Running,
        began: float,
    ) -> Report:
        weather.calm = False
        with fleet.operator(Role.VM_ADMIN) as http:
            orders = Orders(http, random.Random(self.plan.seed + 1), fleet.vms)
            creations = Creations(orders, sorted(worlds))
            with self._killing(fleet, proxy):
                self._order(orders, creations)
            self.say("it is calm now")
            weather.calm = True
            proxy.reset_all()
            wait_until(orders.finished, _ENDED_S)
            told, deliveries = orders.told()
        settle()
        events, calls, left = found.events(), found.calls(), census(worlds)
        of_guests = [one for one in told if one.verb not in _OF_HOSTS]
        of_hosts = [one for one in told if one.verb in _OF_HOSTS]
        wrong = [*violations(of_guests, events, calls), *_audited(fleet, told)]
        odd = list(misfits(of_hosts, creations.volumes, left))
        return Report(
            plan=self.plan,
            seconds=time.monotonic() - began,
            killed=self._killed,
            cut_off=self._cut_off,
            struck=proxy.proxy.struck,
            asked_again=orders.asked_again,
            deliveries=deliveries,
            told=told,
            happened=_number(events, calls),
            left=left,
            said_left=[one for one in odd if one.said],
            violations=(*wrong, *(one.text for one in odd if not one.said)),
        )

    def _order(self, orders: Orders, creations: Creations) -> None:
        done = orders.start_some(self.plan.commands // 10)
        while done < self.plan.commands:
            who = creations if orders.chance.random() < _CREATIONS else orders
            done += who.order(self.plan.commands - done)
            if who is creations:
                self._ordered.set()
            self.say(f"{done} of {self.plan.commands} commands, {self._killed.total()} kills")
            time.sleep(orders.chance.uniform(0, 2 * self.plan.pause_s))

    @contextmanager
    def _killing(self, fleet: Fleet, proxy: Running) -> Iterator[None]:
        over = threading.Event()
        failed: list[BaseException] = []

        def kill() -> None:
            chance = random.Random(self.plan.seed + 2)
            try:
                while not over.is_set():
                    if not self._ordered.wait(chance.uniform(0, 2 * self.plan.calm_s)):
                        self._strike(fleet, proxy, chance)
                    elif chance.random() < _IN_THE_MIDDLE:
                        time.sleep(chance.uniform(0, _MAKING_S))
                        self._kill(fleet.makers, [], chance)
                    self._ordered.clear()
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
        agents: list[AgentProgram] = []
        if roll <= _EVERYBODY:
            agents = list(fleet.agents)
        elif not collector:
            agents = chance.sample(fleet.agents, chance.choice((1, 1, 2, 3)))
        self._kill(agents, collector, chance)

    def _kill(
        self,
        agents: Sequence[AgentProgram],
        collector: Sequence[CollectorProgram],
        chance: random.Random,
    ) -> None:
        victims: list[CollectorProgram | AgentProgram] = [*agents, *collector]
        for victim in victims:
            victim.kill()
        self._cut_off += sum(in_hand(one.agent.folder, _OF_HOSTS) for one in agents)
        self._killed["novacron-collector"] += len(collector)
        self._killed["novacron-agent"] += len(agents)
        time.sleep(chance.choice((0, chance.uniform(0, 2))))
        for victim in victims:
            victim.start()


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
