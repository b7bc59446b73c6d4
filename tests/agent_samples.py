"""Hosts with what their agents told of themselves, as it is in a store and in the inventory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from novacron_contract.metrics import AGENT_SERVICE_NAME, BY_NAME, Kind
from novacron_store.state import Agent, Agents, Host, Inventory, Vm
from novacron_store.telemetry.writer import write
from store.batches import Line, Samples, batch

STEP_S = 10
STEPS = 60
MIB = 1024.0**2
ANSWERS, HANGS = 1.0, 0.0
_OF_KVM, _OF_HOST = {"novacron.source": "kvm"}, {"novacron.source": "host"}
_TO = {"novacron.destination": "collector"}
_FULL = {**_TO, "novacron.reason": "size"}
_FLAT: tuple[tuple[str, dict[str, str], float], ...] = (
    ("process.memory.usage", {}, 64 * MIB),
    ("novacron.agent.scrape.duration", _OF_KVM, 0.25),
    ("novacron.agent.scrape.duration", _OF_HOST, 0.05),
    ("novacron.agent.scrape.errors", _OF_KVM, 7.0),
    ("novacron.agent.scrape.errors", _OF_HOST, 0.0),
    ("novacron.agent.spool.batch.count", _TO, 0.0),
    ("novacron.agent.spool.size", _TO, 0.0),
    ("novacron.agent.spool.age", _TO, 0.0),
    ("novacron.agent.spool.dropped", _FULL, 4800.0),
    ("novacron.agent.export.dead_letters", _TO, 0.0),
)
_PER_SECOND: tuple[tuple[str, dict[str, str], float], ...] = (
    ("process.cpu.time", {"cpu.mode": "user"}, 0.02),
    ("process.cpu.time", {"cpu.mode": "system"}, 0.01),
    ("novacron.agent.export.points", _TO, 150.0),
)


@dataclass(frozen=True)
class MeasuredHost:
    """`hung` answered until 5 minutes ago, `well` answers. Between 30 and 20 minutes ago the spool
    was full."""

    now: datetime
    id: str
    name: str
    agent: str
    hung: str
    well: str

    @property
    def entity(self) -> str:
        return f"{AGENT_SERVICE_NAME}/{self.agent}"

    def ago(self, minutes: float) -> datetime:
        return self.now - timedelta(minutes=minutes)


def measured_host(
    client: Client,
    inventory: Inventory,
    agents: Agents,
    *,
    hung_name: str = "hung-1",
    now: datetime | None = None,
    tells: bool = True,
    interval_s: float = STEP_S,
) -> MeasuredHost:
    """Write ten minutes up to now. Without `tells` the agent says nothing of itself. An agent with
    a long `interval_s` is not called silent while a test is slow."""
    ids = [str(uuid4()) for _ in range(4)]
    at = (now or datetime.now(UTC)).replace(microsecond=0)
    host = MeasuredHost(at, ids[0], f"kvm-{ids[0][:8]}", *ids[1:])
    seen = at - timedelta(seconds=2)
    agents.see(Agent(host.agent, host.id, "0.1.0", interval_s, 0.02, seen))
    inventory.see_hosts([Host(host.id, host.name, host.ago(60), seen, "amd64", "Debian 12")])
    names = {host.hung: hung_name, host.well: "well-1"}
    inventory.see_vms([Vm(vm, name, host.id, seen, seen, "kvm") for vm, name in names.items()])
    lines = [*_of_guests(host), *(_of_agent(host) if tells else ())]
    resources = {host.id: {"host.id": host.id}}
    resources |= {vm: {"vm.id": vm, "vm.name": name} for vm, name in names.items()}
    resources[host.entity] = {"service.name": AGENT_SERVICE_NAME}
    write(client, batch(lines, resources), token=host.id)
    return host


def gap(host: MeasuredHost, first: float, last: float, points: float) -> list[Line]:
    """From `first` to `last` minutes ago."""
    end = host.ago(last).timestamp()
    return [
        _line("novacron.agent.gap.duration", host.entity, _FULL, [(end, 60 * (first - last))]),
        _line("novacron.agent.gap.points", host.entity, _FULL, [(end, points)]),
    ]


def answers(vm: str, told: Samples) -> Line:
    return Line("libvirt.monitor.responding", vm, told)


def _times(host: MeasuredHost) -> list[float]:
    return [host.now.timestamp() - STEP_S * back for back in range(STEPS, 0, -1)]


def _of_guests(host: MeasuredHost) -> list[Line]:
    times, since = _times(host), host.ago(5).timestamp()
    lines = [Line("system.cpu.logical.count", host.id, _flat(times, 8), unit="{cpu}")]
    for vm in (host.hung, host.well):
        lines += [
            Line("vm.state", vm, _flat(times, 1), attributes={"vm.state": "running"}),
            Line("vm.cpu.utilization", vm, _flat(times, 0.5)),
        ]
    lines += [
        answers(host.hung, [(time, ANSWERS if time < since else HANGS) for time in times]),
        answers(host.well, _flat(times, ANSWERS)),
    ]
    load = [time - 60 * back for time in times[::6] for back in (0, 10, 30, 40)]
    lines.append(Line("system.cpu.load_average.1m", host.id, _flat(sorted(load), 1.5)))
    return lines


def _of_agent(host: MeasuredHost) -> list[Line]:
    times = _times(host)
    lines = [_line(name, host.entity, of, _flat(times, value)) for name, of, value in _FLAT]
    for name, of, value in _PER_SECOND:
        told = [(time, value * STEP_S * n) for n, time in enumerate(times)]
        lines.append(_line(name, host.entity, of, told))
    return [*lines, *gap(host, 30, 20, 4800)]


def _flat(times: Sequence[float], value: float) -> list[tuple[float, float]]:
    return [(time, value) for time in times]


def _line(name: str, entity: str, attributes: dict[str, str], told: Samples) -> Line:
    metric = BY_NAME[name]
    if metric.kind is Kind.GAUGE:
        return Line(name, entity, told, attributes=attributes, unit=metric.unit)
    is_counter = metric.kind is Kind.COUNTER
    return Line(name, entity, told, "sum", "cumulative", is_counter, attributes, metric.unit)
