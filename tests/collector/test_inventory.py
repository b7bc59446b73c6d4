"""What senders tell of themselves becomes hosts, VMs and agents."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from novacron_collector.inventory import InventoryKeeper, Sighting
from novacron_contract.errors import Unavailable
from novacron_store.state import Agents, Inventory, migrate, open_state

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
VM = {"vm.id": "vm-1", "vm.name": "web", "vm.host.id": "h1", "vm.host.name": "kvm-a"}
HOST = {"host.id": "h1", "host.name": "kvm-a", "host.arch": "amd64", "os.type": "linux"}
AGENT = {
    "service.name": "novacron-agent",
    "service.instance.id": "agent-1",
    "service.version": "0.1.0",
    "host.id": "h1",
    "novacron.agent.interval": "5",
}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    yield engine
    engine.dispose()


@pytest.fixture
def keeper(engine: Engine) -> InventoryKeeper:
    migrate(engine)
    return keeper_of(engine)


def keeper_of(engine: Engine, max_entities: int = 100) -> InventoryKeeper:
    return InventoryKeeper(
        Inventory(engine), Agents(engine), 0.01, max_entities=max_entities, now=lambda: NOW
    )


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_host_vm_and_agent_appear(keeper: InventoryKeeper) -> None:
    keeper.observe(
        [
            Sighting("h1", "host", HOST, ago(3)),
            Sighting("vm-1", "vm", VM, ago(2)),
            Sighting("novacron-agent/agent-1", "service", AGENT, ago(1), 0.25),
            Sighting("shop/cart", "service", {"service.name": "cart"}, ago(1)),
        ]
    )
    keeper.flush()
    (host,) = keeper.inventory.hosts()
    assert (host.name, host.arch, host.os, host.agent_id) == ("kvm-a", "amd64", "linux", "agent-1")
    (vm,) = keeper.inventory.vms()
    assert (vm.name, vm.host_id, vm.provider, vm.last_seen) == ("web", "h1", "kvm", ago(2))
    (agent,) = keeper.agents.all()
    assert (agent.id, agent.version, agent.interval_s) == ("agent-1", "0.1.0", 5.0)
    assert agent.clock_offset_s == 0.25


def test_known_entity_need_not_be_told_again(keeper: InventoryKeeper) -> None:
    keeper.observe([Sighting("vm-1", "vm", VM, ago(20)), Sighting("vm-2", "vm", None, ago(20))])
    keeper.flush()
    keeper.observe([Sighting("vm-1", "vm", None, ago(5))])
    keeper.flush()
    assert [(vm.id, vm.last_seen) for vm in keeper.inventory.vms()] == [("vm-1", ago(5))]


def test_a_vm_that_another_collector_saw_elsewhere_is_where_it_was_seen_last(
    engine: Engine, keeper: InventoryKeeper
) -> None:
    other = keeper_of(engine)
    moved = {**VM, "vm.host.id": "h2"}
    for second, who, told in [(9, keeper, VM), (8, keeper, VM), (7, other, moved), (6, keeper, VM)]:
        who.observe([Sighting("vm-1", "vm", told, ago(second))])
        who.flush()
        vm = keeper.inventory.vm("vm-1")
        assert (vm.host_id, vm.last_seen) == (told["vm.host.id"], ago(second))
    assert [period.host_id for period in keeper.inventory.history("vm-1")] == ["h1", "h2", "h1"]


def test_vms_that_say_the_same_again_cost_one_statement_for_500(
    engine: Engine, keeper: InventoryKeeper
) -> None:
    keeper.max_entities = 2000
    vms = {f"vm-{n}": {**VM, "vm.id": f"vm-{n}"} for n in range(2000)}
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    for second in (9, 8):
        statements.clear()
        keeper.observe(Sighting(vm, "vm", told, ago(second)) for vm, told in vms.items())
        keeper.flush()
    assert [text.split()[0] for text in statements if not text.startswith("BEGIN")] == [
        "UPDATE"
    ] * 4
    assert {vm.last_seen for vm in keeper.inventory.vms()} == {ago(8)}


@pytest.mark.parametrize("offset", [3600.0, -3600.0])
def test_wrong_clock_of_a_sender_does_not_make_it_old_or_new(
    keeper: InventoryKeeper, offset: float
) -> None:
    seen = ago(4) + timedelta(seconds=offset)
    keeper.observe([Sighting("h1", "host", HOST, seen, offset)])
    keeper.flush()
    assert keeper.inventory.host("h1").last_seen == ago(4)


@pytest.mark.parametrize("offset", [float("inf"), float("nan"), -1e300, None])
def test_senseless_clock_ends_at_now(keeper: InventoryKeeper, offset: float | None) -> None:
    keeper.observe([Sighting("h1", "host", HOST, ago(-9999), offset)])
    keeper.flush()
    assert keeper.inventory.host("h1").last_seen == NOW


@pytest.mark.parametrize("interval", ["", "soon", "nan", "-1", "1e99"])
def test_senseless_interval_is_the_default(keeper: InventoryKeeper, interval: str) -> None:
    told = {**AGENT, "novacron.agent.interval": interval}
    keeper.observe([Sighting("novacron-agent/agent-1", "service", told, ago(1))])
    keeper.flush()
    assert keeper.agents.agent("agent-1").interval_s == 10.0


def test_nothing_is_lost_while_the_database_is_away(engine: Engine) -> None:
    keeper = keeper_of(engine)
    keeper.observe([Sighting("h1", "host", HOST, ago(9))])
    with pytest.raises(Unavailable):
        keeper.flush()
    keeper.observe([Sighting("h1", "host", None, ago(5)), Sighting("vm-1", "vm", VM, ago(5))])
    migrate(engine)
    keeper.flush()
    assert keeper.inventory.host("h1").last_seen == ago(5)
    assert keeper.inventory.vm("web").last_seen == ago(5)


def test_its_thread_writes_by_itself_and_the_rest_at_the_end(keeper: InventoryKeeper) -> None:
    keeper.start()
    keeper.observe([Sighting("h1", "host", HOST, ago(9))])
    deadline = time.monotonic() + 10
    while not keeper.inventory.hosts():
        assert time.monotonic() < deadline, "nothing was written"
        time.sleep(0.01)
    keeper.observe([Sighting("vm-1", "vm", VM, ago(9))])
    keeper.stop()
    assert len(keeper.inventory.vms()) == 1


def test_thread_goes_on_after_the_database_was_away(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = keeper_of(engine)
    keeper.start()
    keeper.observe([Sighting("h1", "host", HOST, ago(9))])
    deadline = time.monotonic() + 10
    while "cannot be written" not in caplog.text:
        assert time.monotonic() < deadline, "nothing was logged"
        time.sleep(0.01)
    migrate(engine)
    keeper.stop()
    assert keeper.inventory.host("h1").last_seen == ago(9)
    assert caplog.text.count("cannot be written") == 1


def test_machines_beyond_the_limit_are_refused_and_counted(engine: Engine) -> None:
    migrate(engine)
    keeper = keeper_of(engine, max_entities=2)
    keeper.observe(Sighting(f"vm-{n}", "vm", VM, ago(9)) for n in range(5))
    keeper.observe([Sighting("vm-0", "vm", None, ago(5))])
    keeper.flush()
    assert {vm.id for vm in keeper.inventory.vms()} == {"vm-0", "vm-1"}
    assert keeper.refused == 3
