"""Hosts and VMs as they are seen, renamed, moved, and looked up."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, event

from novacron_contract.errors import BadMessage, NotFound
from novacron_store.state import Agent, Agents, Host, Inventory, Vm, VmPeriod
from novacron_store.state.inventory import HISTORY_LIMIT
from novacron_store.state.machines import Touch
from novacron_store.state.tables.inventory import vms

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def a_vm(seconds: float = 0, *, id: str = "vm-1", name: str = "web", host: str = "h1") -> Vm:
    return Vm(id, name, host, at(seconds), at(seconds), "libvirt", {"vm.id": id, "vm.name": name})


def a_host(seconds: float = 0, *, id: str = "h1", name: str = "kvm-a", arch: str = "amd64") -> Host:
    return Host(id, name, at(seconds), at(seconds), arch, "linux", {"host.id": id})


def test_what_is_seen_is_listed_by_name(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_hosts([a_host(id="h2", name="b"), a_host(id="h1", name="a")])
    inventory.see_vms([a_vm(id="vm-2", name="z"), a_vm(id="vm-1", name="y")])
    assert [host.name for host in inventory.hosts()] == ["a", "b"]
    assert inventory.vms() == [a_vm(id="vm-1", name="y"), a_vm(id="vm-2", name="z")]


def test_seen_again_moves_last_seen_alone(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_vms([a_vm(0)])
    inventory.see_vms([a_vm(10)])
    vm = inventory.vm("vm-1")
    assert (vm.first_seen, vm.last_seen) == (at(0), at(10))
    assert len(inventory.history("vm-1")) == 1


def test_a_touch_moves_last_seen_of_what_nobody_wrote_meanwhile(engine: Engine) -> None:
    inventory = Inventory(engine)
    assert inventory.see_vms([a_vm(0), a_vm(0, id="vm-2")]).current == {"vm-1", "vm-2"}
    touch = Touch(at(0), at(10))
    assert inventory.touch_vms({"vm-1": touch, "vm-2": touch}) == {"vm-1", "vm-2"}
    assert {vm.last_seen for vm in inventory.vms()} == {at(10)}
    assert {vm.first_seen for vm in inventory.vms()} == {at(0)}


def test_a_touch_is_not_certain_where_somebody_wrote_or_nobody_did(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_vms([a_vm(0)])
    inventory.see_vms([a_vm(5, name="shop")])
    assert inventory.touch_vms({"vm-1": Touch(at(0), at(10))}) == set()
    assert inventory.touch_vms({"vm-9": Touch(at(0), at(10))}) == set()
    assert [(vm.name, vm.last_seen) for vm in inventory.vms()] == [("shop", at(5))]


def test_what_was_seen_later_by_somebody_is_not_as_it_was_seen(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_vms([a_vm(5, name="shop")])
    assert inventory.see_vms([a_vm(0), a_vm(0, id="vm-2")]).current == {"vm-2"}


def test_rename_and_move_are_kept_with_their_times(engine: Engine) -> None:
    inventory = Inventory(engine)
    for vm in (a_vm(0), a_vm(10, name="shop"), a_vm(20, name="shop", host="h2")):
        inventory.see_vms([vm])
    assert inventory.vm("shop").host_id == "h2"
    assert inventory.history("vm-1") == [
        VmPeriod(at(20), None, "shop", "h2"),
        VmPeriod(at(10), at(20), "shop", "h1"),
        VmPeriod(at(0), at(10), "web", "h1"),
    ]


def test_backlog_of_an_outage_does_not_bring_the_past_back(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_vms([a_vm(100, name="new", host="h2")])
    inventory.see_vms([a_vm(5, name="old", host="h1")])
    vm = inventory.vm("vm-1")
    assert (vm.name, vm.host_id, vm.first_seen, vm.last_seen) == ("new", "h2", at(5), at(100))
    assert len(inventory.history("vm-1")) == 1


def delete(engine: Engine, seconds: float) -> None:
    with engine.begin() as connection:
        connection.execute(vms.update().values(deleted=at(seconds)))


def test_what_was_deleted_is_another_list_and_found_by_its_id(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_vms([a_vm(0)])
    delete(engine, 10)
    inventory.see_vms([a_vm(20, id="vm-2"), a_vm(20, id="vm-3", name="db")])
    assert [vm.id for vm in inventory.vms()] == ["vm-3", "vm-2"]
    assert [(vm.id, vm.deleted) for vm in inventory.vms(deleted=True)] == [("vm-1", at(10))]
    assert inventory.vm("vm-1").deleted == at(10)
    assert inventory.vm("web").id == "vm-2"
    delete(engine, 60)
    assert inventory.vm("db").id == "vm-3"
    with pytest.raises(BadMessage, match="2 VMs are called 'web'"):
        inventory.vm("web")


def test_what_was_measured_before_it_was_deleted_brings_it_not_back(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_vms([a_vm(0)])
    delete(engine, 10)
    assert inventory.touch_vms({"vm-1": Touch(at(0), at(12))}) == set()
    inventory.see_vms([a_vm(12)])
    assert inventory.vms() == []
    inventory.see_vms([a_vm(41)])
    assert [vm.deleted for vm in inventory.vms()] == [None]
    assert [period.since for period in inventory.history("vm-1")] == [at(41), at(0)]


def test_one_batch_may_name_a_machine_twice(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_vms([a_vm(10, name="late"), a_vm(0, name="early")])
    vm = inventory.vm("vm-1")
    assert (vm.name, vm.first_seen) == ("late", at(0))


def test_what_a_sender_leaves_out_stays_known(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_hosts([a_host(0)])
    inventory.see_hosts([a_host(10, arch="", name="kvm-b")])
    host = inventory.host("h1")
    assert (host.arch, host.name) == ("amd64", "kvm-b")


def test_history_of_a_machine_two_agents_argue_about_stays_small(engine: Engine) -> None:
    inventory = Inventory(engine)
    for second in range(HISTORY_LIMIT + 20):
        inventory.see_vms([a_vm(second, host=f"h{second % 2}")])
    periods = inventory.history("vm-1")
    assert len(periods) == HISTORY_LIMIT
    assert periods[0].until is None


def test_lookup_prefers_the_id_and_explains_the_rest(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_vms(
        [
            a_vm(id=id, name=name)
            for id, name in [("vm-1", "vm-2"), ("vm-2", ""), ("vm-3", "x"), ("vm-4", "x")]
        ]
    )
    assert inventory.vm("vm-2").id == "vm-2"
    with pytest.raises(NotFound, match="no VM has the id or name 'nobody'"):
        inventory.vm("nobody")
    with pytest.raises(BadMessage, match="2 VMs are called 'x', use an id: vm-3, vm-4"):
        inventory.vm("x")


@pytest.mark.parametrize(
    "name", ["a\0b", "'; DROP TABLE vms; --", "\x1b[31mred\x1b[0m", "名前😀", "x" * 4096, "\ud800"]
)
def test_hostile_names_are_kept_as_text(engine: Engine, name: str) -> None:
    inventory = Inventory(engine)
    inventory.see_vms([a_vm(name=name)])
    stored = inventory.vms()[0].name
    assert stored == name.replace("\0", "\ufffd").replace("\ud800", "?")


def test_host_knows_the_agent_that_reports_it(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_hosts([a_host(id="h1"), a_host(id="h2", name="b")])
    Agents(engine).see(Agent("a-1", "h1", "0.1.0", 10, None, at(0)))
    assert [host.agent_id for host in inventory.hosts()] == ["", "a-1"]
    assert inventory.host("h1").agent_id == "a-1"
    inventory.see_hosts([a_host(10, id="h1")])
    assert inventory.host("h1").agent_id == "a-1"


def test_two_thousand_unchanged_vms_cost_few_statements(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_vms([a_vm(0, id=f"vm-{n}", name=f"n{n}") for n in range(2000)])
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    inventory.see_vms([a_vm(10, id=f"vm-{n}", name=f"n{n}") for n in range(2000)])
    looks_and_touches = [s for s in statements if s.startswith(("SELECT", "UPDATE"))]
    assert len(looks_and_touches) == 8  # one of each per 500 VMs
    assert {vm.last_seen for vm in inventory.vms()} == {at(10)}


def test_writers_at_the_same_time_wait_for_each_other(engine: Engine) -> None:
    inventory = Inventory(engine)
    inventory.see_vms([a_vm(0, id=f"vm-{n}") for n in range(50)])

    def write(seconds: float) -> None:
        inventory.see_vms([a_vm(seconds, id=f"vm-{n}", name=f"{seconds}") for n in range(50)])

    threads = [threading.Thread(target=write, args=(second,)) for second in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {vm.last_seen for vm in inventory.vms()} == {at(8)}
    assert {vm.name for vm in inventory.vms()} == {"8"}
