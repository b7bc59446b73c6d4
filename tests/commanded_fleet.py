"""A collector and agents that have joined it, as processes, over guests that libvirt really has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from delivering import wait_until
from enrolled import Agent, World, enrolling
from hypervisors import Driver, Hypervisors
from novacron_contract.access import Role
from novacron_store.state import Host, Inventory, Vm
from novacron_store.state.commands import Journals
from principals import signed_in

_JOINING = 4  # at a time


@dataclass
class AgentProgram:
    """`vms`: the ids of its guests, by their names."""

    host: str
    driver: Driver
    vms: Mapping[str, str]
    agent: Agent
    _process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return "novacron-agent"

    def start(self) -> None:
        """Returns at once."""
        config = str(self.agent.config)
        command = [sys.executable, "-m", "novacron_agent", "--config", config]
        with (self.agent.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        """As a crash ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


@dataclass
class Fleet:
    world: World
    hypervisors: Hypervisors
    agents: list[AgentProgram] = field(default_factory=list)

    @property
    def vms(self) -> dict[str, str]:
        """Names by ids."""
        return {vm: name for agent in self.agents for name, vm in agent.vms.items()}

    @property
    def makers(self) -> list[AgentProgram]:
        """Agents without guests, on hosts on which some are made."""
        return [agent for agent in self.agents if not agent.vms]

    def add(self, driver: Driver, agents: int, guests: int, address: str | None = None) -> None:
        """So many agents with so many guests each, which they alone may command. They join at
        `address`, HOST:PORT, and are not started."""
        new = [self._agent(f"{driver}{number}", driver, guests) for number in range(agents)]
        self._join(new, address)

    def add_host(self, name: str, uri: str, pattern: str, address: str | None = None) -> None:
        """One more agent, of QEMU's guests at `uri`, which may command those of such names."""
        self._join([self._agent_of(name, Driver.QEMU, {}, uri, pattern)], address)

    def _join(self, new: Sequence[AgentProgram], address: str | None) -> None:
        line = self.world.line(self.world.secret(uses=len(new)), address=address)
        with ThreadPoolExecutor(_JOINING) as pool:
            for done in pool.map(lambda one: one.agent.join(line), new):
                assert done.returncode == 0, done.stderr
        self.agents += new
        self.see()

    def _agent(self, name: str, driver: Driver, guests: int) -> AgentProgram:
        names = [f"{name}-{number}" for number in range(guests)]
        found = self.hypervisors
        return self._agent_of(
            name, driver, found.define(driver, names), found.uri(driver), f"{name}-*"
        )

    def _agent_of(
        self, name: str, driver: Driver, vms: Mapping[str, str], uri: str, pattern: str
    ) -> AgentProgram:
        folder = self.world.folder / name
        folder.mkdir()
        (folder / "agent.toml").write_text(
            f'[agent]\nid_file = "{folder}/agent-id"\ninterval = "1m"\nhost_id = "{name}"\n'
            f'[provider]\nname = "kvm"\nuri = "{uri}"\n'
            f'[commands]\nvms = ["{pattern}"]\n[[metrics]]\nmatch = "*"\nenabled = false\n'
        )
        return AgentProgram(name, driver, vms, Agent(folder))

    def see(self) -> None:
        """As telemetry would tell, if each agent had a hypervisor of its own: here all see all."""
        now, inventory = datetime.now(UTC), Inventory(self.world.state)
        inventory.see_hosts([Host(one.host, one.host, now, now) for one in self.agents])
        inventory.see_vms(
            Vm(vm, name, one.host, now, now, "kvm")
            for one in self.agents
            for name, vm in one.vms.items()
        )

    def start(self) -> None:
        """Returns when every agent has said what it can do."""
        for agent in self.agents:
            agent.start()
        ids = {agent.agent.id for agent in self.agents}
        journals = Journals(self.world.state, None)  # type: ignore[arg-type]
        wait_until(lambda: set(journals.verbs(ids)) == ids, 120)

    def end(self) -> None:
        for agent in self.agents:
            agent.kill()

    def operator(self, role: Role = Role.OPERATOR) -> httpx.Client:
        headers, base = signed_in(self.world.state, role), self.world.collector.api
        return httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=70)


@contextmanager
def commanded_fleet(
    folder: Path, hypervisors: Hypervisors, more: str = "", state_url: str = ""
) -> Iterator[Fleet]:
    """Without agents yet. `more` of collector.toml."""
    with enrolling(folder, more=more, state_url=state_url) as world:
        fleet = Fleet(world, hypervisors)
        try:
            yield fleet
        finally:
            fleet.end()
