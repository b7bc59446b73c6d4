"""What an agent with an identity said of a machine is changed by nobody without one."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise, permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from novacron_contract.access import SYSTEM
from novacron_store.state import Agent, Agents, Host, Inventory, Vm, VmPeriod, migrate, open_state
from novacron_store.state.agents import intervals
from novacron_store.state.audit import Caller
from novacron_store.state.copy import load
from novacron_store.state.credentials import digest
from novacron_store.state.identities import Certificate, Identities, Identity, Standing
from novacron_store.state.join_tokens import JoinTokens
from novacron_store.state.machines import Touch

T0 = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
LONG = timedelta(days=7)
_NUMBERS = count()


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def a_vm(seconds: float, by: str | None = None, name: str = "web", host: str = "h1") -> Vm:
    tags = {"vm.name": name, "team": name}
    return Vm("vm-1", name, host, at(seconds), at(seconds), "kvm", tags, by)


def a_host(seconds: float, by: str | None = None, name: str = "kvm-a", arch: str = "") -> Host:
    return Host("h1", name, at(seconds), at(seconds), arch, "", {"host.name": name}, "", by)


def an_agent(seconds: float, by: str | None = None, id: str = "a-1", every: float = 10.0) -> Agent:
    return Agent(id, "h1", "0.1.0", every, None, at(seconds), by)


def joined(engine: Engine, *agent_ids: str) -> Identities:
    identities = Identities(engine)
    made = JoinTokens(engine).create("lab", Caller(SYSTEM), T0, T0 + LONG, len(agent_ids))
    for agent_id in agent_ids:
        identity = Identity(
            agent_id=agent_id, host_id=f"of-{agent_id}", name="", version="", reason="",
            standing=Standing.ACTIVE, joined=T0, joined_by="", joined_from="", ended=None,
        )  # fmt: skip
        certificate = Certificate(f"{agent_id}-{next(_NUMBERS)}", agent_id, T0, None, T0 + LONG)
        identities.join(identity, certificate, digest(made[1]))
    return identities


@pytest.fixture
def inventory(engine: Engine) -> Inventory:
    joined(engine, "a-1", "a-2")
    return Inventory(engine)


def test_a_vm_of_an_agent_stays_as_it_told(inventory: Inventory) -> None:
    inventory.see_vms([a_vm(0, "a-1")])
    for claim in (a_vm(10, name="mine"), a_vm(11, host="h2"), a_vm(-5, name="mine")):
        assert inventory.see_vms([claim]) == (set(), {"vm-1"})
    assert inventory.see_vms([a_vm(20)]) == (set(), set()), "it says the same"
    assert inventory.vm("vm-1") == a_vm(0, "a-1"), "no longer alive for it, either"
    assert inventory.history("vm-1") == [VmPeriod(at(0), None, "web", "h1")]


def test_an_agents_word_comes_after_what_was_nobodys_even_if_that_is_newer(
    inventory: Inventory,
) -> None:
    inventory.see_vms([a_vm(0, name="first")])
    inventory.see_vms([a_vm(10, name="claimed", host="h2")])
    assert inventory.see_vms([a_vm(5, "a-1")]) == (set(), set())
    vm, moment = inventory.vm("vm-1"), at(10) + timedelta(microseconds=1)
    assert vm == replace(a_vm(5, "a-1"), first_seen=at(0), last_seen=moment)
    assert inventory.history("vm-1") == [
        VmPeriod(moment, None, "web", "h1"),
        VmPeriod(at(10), moment, "claimed", "h2"),
        VmPeriod(at(0), at(10), "first", "h1"),
    ]
    inventory.see_vms([a_vm(30, name="claimed")])
    assert inventory.see_vms([a_vm(20, "a-1")]).current == {"vm-1"}
    assert inventory.vm("vm-1").last_seen == at(20)


def test_a_vm_moves_from_one_agent_to_another(inventory: Inventory) -> None:
    inventory.see_vms([a_vm(0, "a-1")])
    inventory.see_vms([a_vm(10, "a-2", host="h2")])
    inventory.see_vms([a_vm(5, "a-1")])
    assert inventory.vm("vm-1") == replace(a_vm(10, "a-2", host="h2"), first_seen=at(0))


def test_both_in_one_batch_are_the_agents_in_any_order(inventory: Inventory) -> None:
    claims = [a_vm(9, name="claimed"), a_vm(1, "a-1"), a_vm(2, "a-1", name="shop")]
    for number, order in enumerate(permutations(claims)):
        some = [replace(vm, id=f"vm-{number}") for vm in order]
        inventory.see_vms(some)
        expected = replace(claims[2], id=f"vm-{number}", first_seen=at(1))
        assert inventory.vm(f"vm-{number}") == expected


def test_when_its_agent_is_revoked_a_vm_is_anybodys(engine: Engine, inventory: Inventory) -> None:
    inventory.see_vms([a_vm(0, "a-1")])
    inventory.see_hosts([a_host(0, "a-1")])
    Agents(engine).see(an_agent(0, "a-1"))
    identities = Identities(engine)
    identities.end("a-1", Standing.QUARANTINED, "copied", at(1))
    assert inventory.see_vms([a_vm(5, name="mine")]).disputed == {"vm-1"}

    identities.end("a-1", Standing.REVOKED, "sold", at(6))

    assert [vm.reported_by for vm in inventory.vms()] == [None]
    assert [host.reported_by for host in inventory.hosts()] == [None]
    assert [agent.reported_by for agent in Agents(engine).all()] == [None]
    assert inventory.see_vms([a_vm(10)]) == ({"vm-1"}, set()), "the same, by another"
    assert inventory.touch_vms({"vm-1": Touch(at(10), at(11))}) == {"vm-1"}
    inventory.see_vms([a_vm(12, name="mine", host="h2")])
    inventory.see_hosts([a_host(12, name="kvm-b")])
    Agents(engine).see(an_agent(12, every=60))
    assert (inventory.vm("vm-1").name, inventory.host("h1").name) == ("mine", "kvm-b")
    assert Agents(engine).agent("a-1").interval_s == 60
    joined(engine, "a-1")
    assert inventory.vm("vm-1").reported_by is None, "it joined anew, and has not told of it"
    assert inventory.see_vms([a_vm(13, name="yours")]).current == {"vm-1"}


def test_what_was_reported_by_an_agent_that_is_revoked_meanwhile_binds_nobody(
    engine: Engine, inventory: Inventory
) -> None:
    Identities(engine).end("a-1", Standing.REVOKED, "sold", at(0))
    inventory.see_vms([a_vm(1, "a-1")])
    assert inventory.see_vms([a_vm(2, name="mine")]) == ({"vm-1"}, set())


def test_a_touch_by_another_is_not_certain(inventory: Inventory) -> None:
    inventory.see_vms([a_vm(0, "a-1")])
    for by in (None, "a-2"):
        assert inventory.touch_vms({"vm-1": Touch(at(0), at(10), by)}) == set()
    assert inventory.vm("vm-1").last_seen == at(0)
    assert inventory.touch_vms({"vm-1": Touch(at(0), at(10), "a-1")}) == {"vm-1"}
    assert inventory.vm("vm-1") == replace(a_vm(10, "a-1"), first_seen=at(0))


def test_a_host_stays_as_its_agent_told(inventory: Inventory) -> None:
    inventory.see_hosts([a_host(10, name="claimed", arch="vax")])
    assert inventory.see_hosts([a_host(0, "a-1")]) == (set(), set())
    (host,) = inventory.hosts()
    assert (host.name, host.arch, host.reported_by) == ("kvm-a", "", "a-1")
    assert inventory.see_hosts([a_host(20, name="claimed")]) == (set(), {"h1"})
    assert inventory.see_hosts([a_host(20)]) == (set(), set())
    assert inventory.hosts() == [host]
    assert inventory.see_hosts([a_host(30, "a-1")]).current == {"h1"}


def test_several_agents_with_identities_and_others_are_told_of_at_once(
    engine: Engine, inventory: Inventory
) -> None:
    agents = Agents(engine)
    first = (an_agent(0, "a-1"), an_agent(0, "a-2", id="a-2"), an_agent(0, id="b"))
    assert agents.see(*first) == set()
    assert agents.see(an_agent(10, "a-1"), an_agent(10, "a-2", id="a-2")) == set()
    assert agents.see(an_agent(20, id="b", every=30), an_agent(20, id="a-2", every=1)) == {"a-2"}
    later = [an_agent(10, "a-1"), an_agent(10, "a-2", id="a-2"), an_agent(20, id="b", every=30)]
    assert agents.all() == later


def test_an_agent_speaks_for_itself(engine: Engine, inventory: Inventory) -> None:
    agents = Agents(engine)
    assert agents.see(an_agent(50, every=1)) == set()
    assert agents.see(an_agent(0, "a-1"), an_agent(60, every=1)) == set()
    assert agents.all() == [an_agent(0, "a-1")], "though it is older"
    assert agents.see(an_agent(90, every=1), an_agent(5, id="b")) == {"a-1"}
    assert agents.see(an_agent(10, "a-1"), an_agent(5, "a-1")) == set()
    assert agents.all() == [an_agent(10, "a-1"), an_agent(5, id="b")]


def test_for_a_host_its_agent_with_an_identity_speaks(engine: Engine, inventory: Inventory) -> None:
    agents = Agents(engine)
    inventory.see_hosts([a_host(0)])
    agents.see(an_agent(0, "a-1", every=5), an_agent(90, id="b", every=86400))
    assert inventory.host("h1").agent_id == "a-1"
    assert intervals(agents.all()) == {"h1": 5}
    Identities(engine).end("a-1", Standing.REVOKED, "sold", at(100))
    assert inventory.host("h1").agent_id == "b"
    assert intervals(agents.all()) == {"h1": 86400}


def test_writers_at_the_same_time_leave_what_the_agent_told(inventory: Inventory) -> None:
    ids = [f"vm-{number}" for number in range(50)]
    inventory.see_vms(replace(a_vm(0), id=vm) for vm in ids)

    def write(second: int) -> None:
        by, name = ("a-1", "web") if second == 5 else (None, f"claim-{second}")
        inventory.see_vms(replace(a_vm(second, by, name), id=vm) for vm in ids)

    threads = [threading.Thread(target=write, args=(second,)) for second in range(1, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(vm.name, vm.reported_by) for vm in inventory.vms()} == {("web", "a-1")}


_SAID = st.tuples(
    st.sampled_from([None, None, "a-1", "a-2"]), st.integers(0, 20), st.sampled_from("xyz")
)


@given(st.lists(st.lists(_SAID, min_size=1, max_size=3), max_size=8))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_said_in_whatever_order(
    inventory: Inventory, batches: list[list[tuple[str | None, int, str]]]
) -> None:
    vm_id, known, agents_said = f"vm-{next(_NUMBERS)}", None, set()
    for batch in batches:
        said = [replace(a_vm(second, by, name), id=vm_id) for by, second, name in batch]
        inventory.see_vms(said)
        proven = [vm for vm in said if vm.reported_by]
        agents_said |= {(vm.name, vm.reported_by) for vm in proven}
        newest = max(proven or said, key=lambda vm: vm.last_seen)
        known = _after(known, newest)
        vm = inventory.vm(vm_id)
        assert (vm.name, vm.reported_by, vm.last_seen) == known
        assert vm.resource["team"] == vm.name
        assert not agents_said or (vm.name, vm.reported_by) in agents_said
    history = inventory.history(vm_id)
    assert [one.until for one in history[:1]] == [None] * len(history[:1])
    for later, earlier in pairwise(history):
        assert earlier.since < later.since == earlier.until


def _after(
    known: tuple[str, str | None, datetime] | None, new: Vm
) -> tuple[str, str | None, datetime]:
    told = (new.name, new.reported_by, new.last_seen)
    if known is None:
        return told
    _, by, seen = known
    if by and not new.reported_by:
        return known
    if new.reported_by and not by:
        return (*told[:2], max(new.last_seen, seen + timedelta(microseconds=1)))
    return told if new.last_seen > seen else known


# -- rows of older releases -----------------------------------------------------------------------


def test_rows_of_an_older_release_are_nobodys_until_an_agent_tells_of_them(empty_url: str) -> None:
    engine = open_state(empty_url)
    migrate(engine, upto="0004")
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO vms VALUES ('vm-1', 'old', 'h1', 'kvm', :at, :at, '{}')"),
            {"at": T0.replace(tzinfo=None) if engine.dialect.name == "sqlite" else T0},
        )
    migrate(engine)
    joined(engine, "a-1")
    inventory = Inventory(engine)
    assert inventory.vm("old").reported_by is None
    inventory.see_vms([a_vm(5)])
    inventory.see_vms([a_vm(10, "a-1")])
    assert inventory.see_vms([a_vm(15, name="mine")]).disputed == {"vm-1"}
    engine.dispose()


def test_a_backup_of_an_older_release_is_restored(empty_url: str) -> None:
    seen = '"first_seen": "2026-12-01T12:00:00+00:00", "last_seen": "2026-12-01T12:00:00+00:00"'
    row = f'{{"id": "h1", "name": "old", "arch": "", "os": "", {seen}, "resource": {{}}}}'
    engine = open_state(empty_url)
    assert load(engine, ['{"schema": "0004"}', f'{{"table": "hosts", "row": {row}}}']) == 1
    assert Inventory(engine).hosts() == [Host("h1", "old", T0, T0)]
    engine.dispose()
