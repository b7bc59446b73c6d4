"""A small fleet with ten minutes of telemetry: two hosts, three VMs, one agent each host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from novacron_store.state import Agent, Agents, Host, Inventory, Vm
from novacron_store.telemetry.writer import write
from store.batches import Line, batch, counter

STEP_S = 10
STEPS = 60
GIB = 1024.0**3
HOSTILE_NAME = "\x1b[2J\x1b]0;pwned\x07[red]web[/red]\r\n\u202egnp.exe"  # clears the screen, …


@dataclass(frozen=True)
class SampleFleet:
    """Ids are new for each fleet: several share a store. `web` is called what a test says."""

    now: datetime
    web: str
    db: str
    idle: str
    host_a: str
    host_b: str

    def fill(self, inventory: Inventory, agents: Agents, web_name: str = "web-1") -> None:
        """The state: host b fell silent 100 seconds ago, its agent's clock is wrong."""
        seen, late = self.now - timedelta(seconds=2), self.now - timedelta(seconds=100)
        agents.see(
            Agent(f"agent-{self.host_a}", self.host_a, "0.1.0", 10, 0.02, seen),
            Agent(f"agent-{self.host_b}", self.host_b, "0.1.0", 10, -200.0, late),
        )
        inventory.see_hosts(
            [
                Host(
                    self.host_a, "kvm-a", late, seen, "amd64", "Debian 12", {"host.arch": "amd64"}
                ),
                Host(self.host_b, "kvm-b", late, late, "amd64", "Debian 12"),
            ]
        )
        first = self.now - timedelta(seconds=600)
        inventory.see_vms([Vm(self.web, "old-name", self.host_b, first, first, "kvm")])
        inventory.see_vms(
            [
                Vm(self.web, web_name, self.host_a, seen, seen, "kvm", {"vm.name": web_name}),
                Vm(self.db, "db-1", self.host_a, seen, seen, "kvm"),
                Vm(self.idle, "idle-1", self.host_b, late, late, "kvm"),
            ]
        )


def stored_fleet(client: Client) -> SampleFleet:
    """Write ten minutes of telemetry, up to now, and say who sent it."""
    now = datetime.now(UTC).replace(microsecond=0)
    ids = [str(uuid4()) for _ in range(5)]
    fleet = SampleFleet(now, *ids)
    resources = {vm: {"vm.id": vm} for vm in (fleet.web, fleet.db, fleet.idle)}
    resources |= {host: {"host.id": host} for host in (fleet.host_a, fleet.host_b)}
    write(client, batch(_lines(fleet), resources), token=fleet.web)
    return fleet


def _lines(fleet: SampleFleet) -> list[Line]:
    times = [fleet.now.timestamp() - STEP_S * back for back in range(STEPS, 0, -1)]
    lines: list[Line] = []
    for vm, cpu in ((fleet.web, 0.5), (fleet.db, 0.25)):
        lines += [
            Line("vm.state", vm, _flat(times, 1), attributes={"vm.state": "running"}),
            Line("vm.cpu.utilization", vm, _flat(times, cpu)),
            Line("vm.cpu.count", vm, _flat(times, 2), unit="{cpu}"),
            Line("vm.memory.usage", vm, _flat(times, 1 * GIB), unit="By"),
            Line("vm.memory.limit", vm, _flat(times, 2 * GIB), unit="By"),
            _traffic(vm, times, "receive", 1000),
            _traffic(vm, times, "transmit", 500),
        ]
    lines.append(Line("vm.state", fleet.idle, _flat(times, 1), attributes={"vm.state": "stopped"}))
    for host in (fleet.host_a, fleet.host_b):
        lines.append(Line("system.cpu.logical.count", host, _flat(times, 8), unit="{cpu}"))
    lines += [_errors(fleet.host_a, [3.0] * STEPS, times), _errors(fleet.host_b, times, times)]
    return lines


def _errors(host: str, counts: Sequence[float], times: Sequence[float]) -> Line:
    agent, source = f"novacron-agent/agent-{host}", {"novacron.source": "kvm"}
    samples = list(zip(times, counts, strict=True))
    name = "novacron.agent.scrape.errors"
    return Line(name, agent, samples, "sum", "cumulative", True, source, "{error}")


def _flat(times: Sequence[float], value: float) -> list[tuple[float, float]]:
    return [(time, value) for time in times]


def _traffic(vm: str, times: Sequence[float], direction: str, per_second: float) -> Line:
    samples = [(time, per_second * STEP_S * n) for n, time in enumerate(times)]
    return counter("vm.network.io", vm, samples, **{"network.io.direction": direction})
