"""What senders tell of themselves becomes hosts, VMs and agents."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from novacron_collector.inventory import InventoryKeeper, Sighting
from novacron_contract.access import SYSTEM
from novacron_contract.errors import Unavailable
from novacron_store.state import Agents, Caller, Inventory, migrate, open_state
from novacron_store.state.credentials import digest
from novacron_store.state.identities import Certificate, Identities, Identity, Standing
from novacron_store.state.join_tokens import JoinTokens

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
    keeper.observe([Sighting("h1", "host", HOST, ago(5)), Sighting("vm-1", "vm", VM, ago(5))])
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
    keeper.observe([Sighting("vm-0", "vm", VM, ago(5))])
    keeper.flush()
    assert {vm.id for vm in keeper.inventory.vms()} == {"vm-0", "vm-1"}
    assert keeper.refused == 3


# -- whose word it is -----------------------------------------------------------------------------

CLAIM = {**VM, "vm.name": "mine", "vm.host.id": "h2", "team": "attackers"}


def proven(
    told: dict[str, str], seconds: float, kind: str = "vm", entity: str = "vm-1"
) -> Sighting:
    return Sighting(entity, kind, told, ago(seconds), reported_by="agent-1")


@pytest.fixture
def joined(engine: Engine, keeper: InventoryKeeper) -> Identities:
    """One agent has."""
    identities, long = Identities(engine), NOW + timedelta(days=9)
    token = JoinTokens(engine).create("lab", Caller(SYSTEM), NOW, long, 1)[1]
    identity = Identity(
        agent_id="agent-1", host_id="h1", name="", version="", standing=Standing.ACTIVE, reason="",
        joined=NOW, joined_by="", joined_from="", ended=None,
    )  # fmt: skip
    identities.join(identity, Certificate("1", "agent-1", NOW, None, long), digest(token))
    return identities


@pytest.mark.usefixtures("joined")
@pytest.mark.parametrize("order", [1, -1])
def test_what_an_agent_tells_stands_whatever_others_claim_with_it(
    keeper: InventoryKeeper, caplog: pytest.LogCaptureFixture, order: int
) -> None:
    service = "novacron-agent/agent-1"
    honest = [proven(VM, 9), proven(HOST, 9, "host", "h1"), proven(AGENT, 9, "service", service)]
    claims = [
        Sighting("vm-1", "vm", CLAIM, ago(1)),
        Sighting("h1", "host", {**HOST, "host.name": "mine"}, ago(1)),
        Sighting(service, "service", {**AGENT, "novacron.agent.interval": "86400"}, ago(1)),
    ]
    keeper.observe([*honest, *claims][::order])
    keeper.flush()

    (vm,), (host,), (agent,) = keeper.inventory.vms(), keeper.inventory.hosts(), keeper.agents.all()
    assert (vm.resource, vm.last_seen, vm.reported_by) == (VM, ago(9), "agent-1")
    assert (host.resource, host.last_seen, host.reported_by) == (HOST, ago(9), "agent-1")
    assert (agent.interval_s, agent.last_seen, agent.reported_by) == (5.0, ago(9), "agent-1")
    assert keeper.disputed == 3
    assert caplog.text.count("a sender without an agent's identity tells of ") == 1


@pytest.mark.usefixtures("joined")
def test_it_stands_in_later_writes_and_after_a_start_too(
    engine: Engine, keeper: InventoryKeeper
) -> None:
    keeper.observe([proven(VM, 9)])
    keeper.flush()
    for who, seconds in ((keeper, 8), (keeper_of(engine), 7), (keeper, 6)):
        who.observe([Sighting("vm-1", "vm", CLAIM, ago(seconds))])
        who.flush()
        who.observe([Sighting("vm-1", "vm", VM, ago(seconds))])  # the same, from who is not it
        who.flush()
        vm = keeper.inventory.vm("vm-1")
        assert (vm.resource, vm.last_seen, vm.reported_by) == (VM, ago(9), "agent-1")
    keeper.observe([proven(VM, 5)])
    keeper.flush()
    assert keeper.inventory.vm("vm-1").last_seen == ago(5)
    assert len(keeper.inventory.history("vm-1")) == 1


@pytest.mark.usefixtures("joined")
def test_an_agent_gets_a_vm_back_that_somebody_claimed_first(keeper: InventoryKeeper) -> None:
    keeper.observe([Sighting("vm-1", "vm", CLAIM, ago(1))])
    keeper.flush()
    for seconds in (3, 2, 0):
        keeper.observe([proven(VM, seconds), Sighting("vm-1", "vm", CLAIM, ago(0))])
        keeper.flush()
        vm = keeper.inventory.vm("vm-1")
        assert (vm.resource, vm.reported_by) == (VM, "agent-1")
    assert keeper.inventory.vm("vm-1").last_seen == ago(0)


def test_when_an_agent_is_revoked_others_are_believed(
    keeper: InventoryKeeper, joined: Identities, caplog: pytest.LogCaptureFixture
) -> None:
    keeper.observe([proven(VM, 9)])
    keeper.flush()
    keeper.observe([proven(VM, 8)])
    joined.end("agent-1", Standing.REVOKED, "sold", ago(7))
    for seconds in (6, 5, 4):
        keeper.observe([Sighting("vm-1", "vm", CLAIM, ago(seconds))])
        keeper.flush()
        vm = keeper.inventory.vm("vm-1")
        assert (vm.resource, vm.last_seen, vm.reported_by) == (CLAIM, ago(seconds), None)
    assert (keeper.disputed, caplog.text) == (0, "")


@pytest.mark.usefixtures("joined")
def test_neither_hides_the_other_while_the_database_is_away(
    engine: Engine, keeper: InventoryKeeper
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE vms RENAME TO gone")
    keeper.observe([proven(VM, 9), Sighting("vm-2", "vm", CLAIM, ago(9))])
    with pytest.raises(Unavailable):
        keeper.flush()
    keeper.observe([Sighting("vm-1", "vm", CLAIM, ago(1)), proven(VM, 2, entity="vm-2")])
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO vms")
    keeper.flush()
    seen = [(vm.id, vm.resource, vm.last_seen) for vm in keeper.inventory.vms()]
    assert sorted(seen, key=lambda one: one[0]) == [("vm-1", VM, ago(9)), ("vm-2", VM, ago(2))]


@pytest.mark.usefixtures("joined")
def test_nobody_takes_the_room_of_an_agents_machines(engine: Engine) -> None:
    keeper = keeper_of(engine, max_entities=1)
    keeper.observe(Sighting(f"vm-{n}", "vm", VM, ago(9)) for n in range(3))
    keeper.observe([proven(VM, 9, entity="mine")])
    keeper.flush()
    assert {vm.id for vm in keeper.inventory.vms()} == {"vm-0", "mine"}
    assert keeper.refused == 2
