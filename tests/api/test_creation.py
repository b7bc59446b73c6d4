"""VMs created over REST: which spec, on which host, by whom, and what nobody is shown of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, select

from api.answers import json_of
from api.test_operations import INSTANCE, ONE_ENGINE, away, valid
from command_world import ADMIN, World, commands_of
from enrolments import enrolment_of
from novacron_collector.api.app import create_app
from novacron_collector.api.services import Services
from novacron_collector.commands.new_vms import parse as parse_new
from novacron_collector.commands.placing import Memory
from novacron_contract.access import Role
from novacron_contract.commands import Order, Report, State, Verb
from novacron_store.state import Agents, Vm
from novacron_store.state.commands import WITHHELD, About, Asking, Said, Told
from novacron_store.state.copy import dump
from novacron_store.state.tables.commands import operation_secrets
from principals import signed_in

GIB = 1024**3
SECRET = "#cloud-config\npassword: correct horse\n"
SPEC: dict[str, Any] = {"name": "web-1", "memory_mib": 1024, "disks": [{"size_gib": 1}]}
EVERY_VERB = tuple(verb.value for verb in Verb)


def spec(**changes: Any) -> dict[str, Any]:
    return {"spec": {**SPEC, **changes}}


@pytest.fixture
def memory() -> dict[str, Memory]:
    return {}


@pytest.fixture
def world(engine: Engine, memory: dict[str, Memory]) -> World:
    """Two hosts: kvm-0 with two VMs of the team web, kvm-1 with one."""
    world = World(engine)
    world.commands = commands_of(
        engine, world.access, now=world.clock.now, states=world.states, memory=lambda: memory
    )
    world.add_host(2, team="web")
    world.add_host(1)
    for agent in world.agent_of.values():
        able(world, agent, *EVERY_VERB)
    return world


def able(world: World, agent: str, *verbs: str) -> None:
    about = About(instance=INSTANCE, provider="kvm", verbs=verbs)
    world.commands.journals.describe(agent, about, world.clock.now())


@pytest.fixture
def http(world: World) -> FlaskClient:
    services = Services(
        inventory=world.inventory,
        agents=Agents(world.engine),
        access=world.access,
        enrolment=enrolment_of(world.engine),
        commands=world.commands,
        telemetry=away,
        reader=away,
        version="0.1.0",
        started=world.clock.now(),
        now=world.clock.now,
    )
    return create_app(services).test_client()


@pytest.fixture
def manager(engine: Engine) -> dict[str, str]:
    return signed_in(engine, Role.VM_ADMIN)


def told(world: World, number: int, most: int = 20) -> Told:
    """What the agent of that host is told now."""
    agent = world.agent_of[world.hosts[number]]
    dispatch = world.commands.polls.dispatch
    made = dispatch.round({agent: Asking(INSTANCE, most)}, world.clock.now())
    return made.told.get(agent, Told())


def ends(world: World, number: int, of: Order, state: State, **report: Any) -> None:
    said = Said(
        world.agent_of[world.hosts[number]],
        (Report(command_id=of.id, number=report.pop("number", 1), state=state, **report),),
    )
    world.commands._reports.take([said], world.clock.now())


def test_a_vm_is_planned_ordered_and_in_the_inventory_once_it_is_made(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    body = {**spec(tags={"team": "db"}, owner="ann"), "host": "kvm-1", "reason": "more load"}

    plan = valid(
        http,
        http.post("/v1/vms", json={**body, "dry_run": True}, headers=manager),
        *("/v1/vms", 200, "post"),
    )
    made = valid(http, http.post("/v1/vms", json=body, headers=manager), "/v1/vms", 201, "post")
    (order,) = told(world, 1).orders
    shown = valid(http, http.get(f"/v1/operations/{made['id']}"), "/v1/operations/{operation_id}")
    ends(world, 1, order, State.SUCCEEDED)

    assert [(vm["id"], vm["name"], vm["host"]["name"], vm["problem"]) for vm in plan["vms"]] == [
        (None, "web-1", "kvm-1", None)
    ]
    assert (made["total"], made["reason"], made["steps"][0]["verb"]) == (1, "more load", "create")
    assert shown["targets"] == {"new": {"name": "web-1", "count": 1, "first": 1, "host": "kvm-1"}}
    assert (order.verb, order.arguments["spec"]["memory_mib"]) == (Verb.CREATE, 1024)  # type: ignore[index]
    vm = world.inventory.vm("web-1")
    assert (vm.id, vm.host_id) == (order.vm_id, world.hosts[1])
    assert (vm.resource["team"], vm.resource["vm.owner"]) == ("db", "ann")
    assert [period.name for period in world.inventory.history(vm.id)] == ["web-1"]


def test_what_failed_is_not_in_the_inventory(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    made = json_of(http.post("/v1/vms", json=spec(), headers=manager), 201)
    (order,) = [*told(world, 0).orders, *told(world, 1).orders]
    number = world.hosts.index(json_of(http.get("/v1/commands"))["commands"][0]["host"])
    ends(world, number, order, State.FAILED, error="no space left in the pool default")

    assert len(world.inventory.vms()) == 3
    assert json_of(http.get(f"/v1/operations/{made['id']}"))["state"] == "failed"


def test_the_schema_is_published(http: FlaskClient) -> None:
    schema = valid(http, http.get("/v1/vm-spec"), "/v1/vm-spec")
    assert {"name", "memory_mib", "disks", "cloud_init"} <= set(schema["properties"])


def secrets_of(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(connection.execute(select(operation_secrets)).all())


def everything_told(http: FlaskClient, headers: dict[str, str]) -> Iterator[str]:
    for path in ("/v1/operations", "/v1/commands", "/v1/audit?limit=500"):
        yield http.get(path, headers=headers).text
    for kind in ("operations", "commands"):
        for one in json_of(http.get(f"/v1/{kind}"))[kind]:
            yield http.get(f"/v1/{kind}/{one['id']}").text


@pytest.mark.parametrize("end", [State.SUCCEEDED, State.FAILED, State.REJECTED])
def test_cloud_init_data_goes_to_the_agent_alone_and_is_forgotten_in_the_end(
    http: FlaskClient, world: World, engine: Engine, manager: dict[str, str], end: State
) -> None:
    init = {"user_data": SECRET, "meta_data": {"floor": "cellar"}, "network_config": "version: 2"}
    body = {**spec(cloud_init=init), "name": "web-{n}", "count": 2, "host": "kvm-0"}
    plan = http.post("/v1/vms", json={**body, "dry_run": True}, headers=manager)
    made = http.post("/v1/vms", json=body, headers=manager)
    orders = told(world, 0).orders
    world.clock.pass_by(60)
    again = told(world, 0).orders  # its answer was lost
    admin = signed_in(engine, Role.ADMIN)
    every = [plan.text, made.text, *everything_told(http, admin), *dump(engine)]

    assert [order.arguments["spec"]["cloud_init"] for order in (*orders, *again)] == [init] * 4  # type: ignore[index]
    assert not [text for text in every if "correct horse" in text or "cellar" in text]
    shown = json_of(http.get("/v1/commands"))["commands"][0]["arguments"]["spec"]["cloud_init"]
    assert set(shown.values()) == {WITHHELD}
    for order in orders:
        assert secrets_of(engine) == 1
        ends(world, 0, order, end)
    assert secrets_of(engine) == 0


@ONE_ENGINE
def test_what_only_looks_withheld_is_delivered_as_it_is(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    odd = {"owner": WITHHELD, "tags": {"a": WITHHELD}}
    both = {**odd, "cloud_init": {"user_data": WITHHELD}}
    for name, changes in (("a", odd), ("b", both)):
        body = {**spec(**changes), "name": name, "host": "kvm-0"}
        json_of(http.post("/v1/vms", json=body, headers=manager), 201)
    first, then = (order.arguments["spec"] for order in told(world, 0).orders)
    assert first["owner"] == WITHHELD  # type: ignore[index]
    assert then["cloud_init"] == {"user_data": WITHHELD}  # type: ignore[index]


@ONE_ENGINE
def test_an_answer_to_an_agent_is_never_larger_than_it_takes(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    init = {"user_data": "#" + "x" * 60_000, "network_config": "#" + "x" * 60_000}
    body = {**spec(cloud_init=init), "name": "w-{n}", "count": 8, "host": "kvm-0"}
    json_of(http.post("/v1/vms", json=body, headers=manager), 201)

    first, then, last = (told(world, 0).orders for _ in range(3))
    world.clock.pass_by(60)
    again = told(world, 0)

    assert [len(orders) for orders in (first, then, last)] == [3, 3, 2]
    assert len(json.dumps([order.as_json() for order in again.orders])) < 2**20


@ONE_ENGINE
@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_what_was_never_delivered_is_forgotten_too(
    http: FlaskClient, world: World, engine: Engine, manager: dict[str, str], how: str
) -> None:
    body = {**spec(cloud_init={"user_data": SECRET}), "ttl": 60}
    made = json_of(http.post("/v1/vms", json=body, headers=manager), 201)
    if how == "cancelled":
        http.post(f"/v1/operations/{made['id']}/cancel", headers=manager)
    else:
        world.clock.pass_by(61)
        world.commands.look_after()

    counts = json_of(http.get(f"/v1/operations/{made['id']}"))["commands"]
    assert (counts[how], secrets_of(engine)) == (1, 0)
    assert (told(world, 0), told(world, 1)) == (Told(), Told())


@ONE_ENGINE
def test_without_its_secrets_nothing_is_created(
    http: FlaskClient, world: World, engine: Engine, manager: dict[str, str]
) -> None:
    """As in a database that was restored: a backup has none."""
    body = {**spec(cloud_init={"user_data": SECRET}), "name": "w-{n}", "count": 2, "host": "kvm-0"}
    json_of(http.post("/v1/vms", json=body, headers=manager), 201)
    (first,) = told(world, 0, most=1).orders
    with engine.begin() as connection:
        connection.execute(operation_secrets.delete())
    world.clock.pass_by(60)

    (again,) = told(world, 0).orders

    assert (again.id, again.ttl_ms) == (first.id, 0)  # it is asked what became of it
    rows = {row["vm"]["name"]: row for row in json_of(http.get("/v1/commands"))["commands"]}
    assert rows["w-2"]["state"] == "rejected"
    assert "was secret, and is not there any more" in rows["w-2"]["error"]


def test_many_are_created_by_numbers_each_where_most_memory_is_left(
    http: FlaskClient, world: World, memory: dict[str, Memory], manager: dict[str, str]
) -> None:
    memory[world.hosts[0]] = Memory(usage=2 * GIB, limit=16 * GIB)
    memory[world.hosts[1]] = Memory(usage=4 * GIB, limit=16 * GIB)
    memory[world.vms[0]] = Memory(usage=None, limit=9 * GIB)  # promised: 7 GiB are left
    body = {**spec(memory_mib=4096), "name": "web-{n:03}", "count": 4, "first": 8}

    made = json_of(http.post("/v1/vms", json=body, headers=manager), 201)
    full = json_of(http.post("/v1/vms", json=spec(memory_mib=4096), headers=manager), 409)
    named = http.post("/v1/vms", json={**spec(memory_mib=4096), "host": "kvm-0"}, headers=manager)

    rows = json_of(http.get(f"/v1/commands?operation={made['id']}"))["commands"]
    places = {row["vm"]["name"]: world.hosts.index(row["host"]) for row in rows}
    assert places == {"web-008": 1, "web-009": 1, "web-010": 0, "web-011": 1}
    assert (
        "no host has 4 GiB of memory left for web-1; the most has kvm-0: 3 GiB" in (full["message"])
    )
    assert named.status_code == 201  # who says where, decides


def test_where_nobody_knows_the_memory_the_fewest_vms_decide(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    body = {**spec(), "name": "web-{n}", "count": 3}
    made = json_of(http.post("/v1/vms", json=body, headers=manager), 201)
    rows = json_of(http.get(f"/v1/commands?operation={made['id']}"))["commands"]
    hosts = [world.hosts.index(row["host"]) for row in reversed(rows)]
    assert sorted(hosts) == [0, 1, 1]


@ONE_ENGINE
def test_only_hosts_whose_agent_can_and_is_there_are_chosen(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    world.add_host(0, enrolled=False)
    able(world, world.agent_of[world.hosts[1]], "start", "stop")
    chosen = json_of(http.post("/v1/vms", json=spec(), headers=manager), 201)
    named = http.post("/v1/vms", json={**spec(name="b"), "host": "kvm-1"}, headers=manager)
    world.clock.pass_by(60)  # nobody has heard of a host since
    silent = http.post("/v1/vms", json=spec(name="c"), headers=manager)

    (row,) = json_of(http.get(f"/v1/commands?operation={chosen['id']}"))["commands"]
    assert row["host"] == world.hosts[0]
    assert "b: its agent cannot create VMs" in json_of(named, 409)["message"]
    message = json_of(silent, 409)["message"]
    assert "no host can create VMs now: kvm-0: its agent has not been heard of" in message
    assert "kvm-1: its agent cannot create VMs; kvm-2: no agent of it takes commands" in message


def test_a_name_that_is_in_use_is_refused(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    def refused(**body: Any) -> str:
        answer = http.post("/v1/vms", json=body, headers=manager)
        return str(json_of(answer, 409)["message"])

    assert "vm-0-1 is on kvm-0" in refused(**spec(name="vm-0-{n}"), count=3)
    assert "kvm-0 has a VM of that name" in refused(**spec(name="vm-0-1"), host="kvm-0")
    elsewhere = {**spec(name="vm-0-1"), "host": "kvm-1"}
    assert http.post("/v1/vms", json=elsewhere, headers=manager).status_code == 201
    assert "kvm-1 has a VM of that name" in refused(**elsewhere)  # it is on its way
    assert "vm-0-1 is on kvm-0; vm-0-1 is on kvm-1" in refused(**spec(name="vm-0-1"))
    (order,) = told(world, 1).orders
    ends(world, 1, order, State.FAILED, error="no")
    assert http.post("/v1/vms", json=elsewhere, headers=manager).status_code == 201


def test_the_same_key_creates_once(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    headers = {**manager, "Idempotency-Key": "deploy-7"}
    first = json_of(http.post("/v1/vms", json=spec(), headers=headers), 201)
    again = json_of(http.post("/v1/vms", json=spec(), headers=headers), 200)
    other = http.post("/v1/vms", json=spec(memory_mib=512), headers=headers)
    assert again["id"] == first["id"]
    hashes = {parse_new(spec(cloud_init={"user_data": text})).digest for text in ("#one", "#two")}
    assert len(hashes) == 1, "who has a backup could guess what is secret by its hash"
    assert json_of(other, 409)["error"] == "Conflict"
    assert len(json_of(http.get("/v1/commands"))["commands"]) == 1


def test_the_brake_holds_it_and_what_is_cancelled_then_is_not_made(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    world.commands.set_brake(ADMIN, True, "a storm")
    made = json_of(http.post("/v1/vms", json={**spec(), "host": "kvm-0"}, headers=manager), 201)
    assert told(world, 0) == Told()
    world.commands.set_brake(ADMIN, False, "")
    (order,) = told(world, 0).orders
    http.post(f"/v1/operations/{made['id']}/cancel", headers=manager)
    assert told(world, 0).cancelled == (order.id,)
    ends(world, 0, order, State.CANCELLED)
    assert json_of(http.get(f"/v1/operations/{made['id']}"))["state"] == "cancelled"
    assert len(world.inventory.vms()) == 3


@ONE_ENGINE
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "expected JSON such as {'spec'"),
        ({"spec": []}, "expected JSON such as {'spec'"),
        ({**spec(), "more": 1}, "more: unknown; allowed: spec"),
        (spec(memory_mib="much"), "spec: memory_mib: expected"),
        (spec(disks=[{"size_gib": 1}, {"size_gib": -1}]), "spec: disks[1].size_gib: expected"),
        (spec(name="../../etc"), "spec: name: expected"),
        ({"spec": {"memory_mib": 1}}, "name: expected text"),
        ({**spec(), "count": 2}, "name: 2 VMs need a number in their name"),
        ({**spec(), "count": 1001, "name": "w-{n}"}, "count: expected 1 to 1000"),
        ({**spec(), "count": 2, "name": "x" * 127 + "-{n}"}, "spec: name: expected"),
        ({**spec(), "host": 7}, "host: expected text"),
        (spec(tags={"vm.host.id": "other"}), "tags.vm.host.id: the names that begin with vm"),
        (
            {
                **spec(networks=[{"network": "n", "mac": "52:54:00:00:00:01"}]),
                **{"name": "w-{n}", "count": 2},
            },
            "networks[0].mac: 2 VMs cannot have the same one",
        ),
        (
            {**spec(disks=[{"volume": {"volume": "data"}}]), "name": "w-{n}", "count": 2},
            "disks[0].volume: 2 VMs cannot write to the same",
        ),
    ],
)
def test_what_makes_no_vm_is_explained_with_its_path(
    http: FlaskClient, manager: dict[str, str], body: Any, message: str
) -> None:
    answer = http.post("/v1/vms", json=body, headers=manager)
    assert message in json_of(answer, 400)["message"]


def test_creating_is_no_verb_for_vms_that_are_there(
    http: FlaskClient, manager: dict[str, str]
) -> None:
    body = {"verb": "create", "arguments": spec(), "targets": {"vms": ["vm-0-0"]}}
    assert (
        "POST /v1/vms"
        in json_of(http.post("/v1/operations", json=body, headers=manager), 400)["message"]
    )
    schedule = {"name": "s", "cron": "0 3 * * *", "operation": body}
    assert http.post("/v1/schedules", json=schedule, headers=manager).status_code == 400


@ONE_ENGINE
@pytest.mark.parametrize("role", Role)
def test_who_may_create_within_which_scope(
    http: FlaskClient, world: World, engine: Engine, role: Role
) -> None:
    may = role in (Role.VM_ADMIN, Role.ADMIN)
    mine, other = world.hosts
    within = ("fleet", f"host:{mine}", "tag:team=web")
    for number, scope in enumerate((*within, f"host:{other}", "tag:team=db", "tag:vm.name=w")):
        body = {**spec(name=f"w{number}", tags={"team": "web"}), "host": mine}
        answer = http.post("/v1/vms", json=body, headers=signed_in(engine, role, scope))
        assert answer.status_code == (201 if may and scope in within else 403), (scope, answer.text)


@ONE_ENGINE
def test_where_the_host_is_chosen_it_is_one_within_ones_rights(
    http: FlaskClient, world: World, engine: Engine, memory: dict[str, Memory]
) -> None:
    memory[world.hosts[0]] = Memory(usage=0, limit=2 * GIB)
    memory[world.hosts[1]] = Memory(usage=0, limit=64 * GIB)
    mine = signed_in(engine, Role.VM_ADMIN, f"host:{world.hosts[0]}")
    made = json_of(http.post("/v1/vms", json=spec(), headers=mine), 201)
    (row,) = json_of(http.get(f"/v1/commands?operation={made['id']}"))["commands"]
    assert row["host"] == world.hosts[0]
    db = signed_in(engine, Role.VM_ADMIN, "tag:team=db")
    refused = json_of(http.post("/v1/vms", json=spec(name="b"), headers=db), 403)
    assert (
        "create such VMs on any host: vm.manage holds for tag:team=db alone" in refused["message"]
    )
    tagged = spec(name="b", tags={"team": "db"})
    assert http.post("/v1/vms", json=tagged, headers=db).status_code == 201


@ONE_ENGINE
def test_a_label_by_which_rights_are_given_is_given_by_those_who_have_them(
    http: FlaskClient, world: World, engine: Engine
) -> None:
    host = f"host:{world.hosts[0]}"
    of_host = signed_in(engine, Role.VM_ADMIN, host)
    asked = {**spec(tags={"team": "db", "rack": "7"}, owner="eve"), "host": world.hosts[0]}
    assert http.post("/v1/vms", json=asked, headers=of_host).status_code == 201  # it says nothing

    signed_in(engine, Role.OPERATOR, "tag:team=db")
    signed_in(engine, Role.OPERATOR, "tag:vm.owner=bob")
    team = http.post(
        "/v1/vms", json={**asked, **spec(name="b", tags={"team": "x"})}, headers=of_host
    )
    owner = http.post("/v1/vms", json={**asked, **spec(name="b", owner="bob")}, headers=of_host)
    other = http.post(
        "/v1/vms", json={**asked, **spec(name="b", tags={"rack": "8"})}, headers=of_host
    )
    fleet = signed_in(engine, Role.VM_ADMIN)
    by_fleet = http.post(
        "/v1/vms", json={**asked, **spec(name="c", tags={"team": "db"})}, headers=fleet
    )

    assert (
        "rights are given by the label team: 'x' is given to VMs by those"
        in (json_of(team, 403)["message"])
    )
    assert "rights are given by the label vm.owner" in json_of(owner, 403)["message"]
    assert (other.status_code, by_fleet.status_code) == (201, 201)
    assert world.audit("access.denied")


@ONE_ENGINE
@pytest.mark.parametrize(
    "what",
    [
        {"disks": [{"volume": {"volume": "db.qcow2"}}]},
        {"disks": [{"clone": {"volume": "db.qcow2"}}]},
        {"disks": [{"linked": {"volume": "db.qcow2"}}]},
        {"boot": {"kernel": {"volume": "vmlinuz"}}},
        {"networks": [{"bridge": "br0"}]},
    ],
)
def test_what_is_the_hosts_needs_the_right_over_the_host(
    http: FlaskClient, world: World, engine: Engine, what: dict[str, Any]
) -> None:
    body = {**spec(tags={"team": "web"}, **what), "host": world.hosts[0]}
    by_tag = signed_in(engine, Role.VM_ADMIN, "tag:team=web")
    refused = json_of(http.post("/v1/vms", json=body, headers=by_tag), 403)
    assert "volumes that are there and bridges need it for the host" in refused["message"]
    plain = {**spec(tags={"team": "web"}, networks=[{"network": "default"}]), "host": "kvm-0"}
    assert http.post("/v1/vms", json=plain, headers=by_tag).status_code == 201
    by_host = signed_in(engine, Role.VM_ADMIN)
    body["spec"]["name"] = "b"
    assert http.post("/v1/vms", json=body, headers=by_host).status_code == 201


def test_the_audit_has_the_spec_in_brief(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    body = {**spec(cloud_init={"user_data": SECRET}, tags={"team": "web"}), "host": "kvm-0"}
    json_of(http.post("/v1/vms", json=body, headers=manager), 201)
    (row,) = world.audit("operation.create")
    detail = json.loads(row.detail) if isinstance(row.detail, str) else row.detail
    assert detail["new"] == {"name": "web-1", "count": 1, "first": 1, "host": "kvm-0"}
    brief = detail["spec"]
    assert (brief["memory_mib"], brief["tags"], len(brief["sha256"])) == (1024, {"team": "web"}, 64)
    assert "horse" not in str(row)


@ONE_ENGINE
def test_another_one_cancels_by_the_tags_that_the_vm_will_have(
    http: FlaskClient, engine: Engine, world: World, manager: dict[str, str]
) -> None:
    body = {**spec(tags={"team": "web"}), "host": "kvm-0"}
    made = json_of(http.post("/v1/vms", json=body, headers=manager), 201)
    path = f"/v1/operations/{made['id']}/cancel"
    for scope, status in (("tag:team=db", 403), ("tag:team=web", 200)):
        other = signed_in(engine, Role.VM_ADMIN, scope)
        assert http.post(path, headers=other).status_code == status


def test_while_a_vm_is_made_nobody_claims_it_for_other_rights(
    http: FlaskClient, engine: Engine, world: World, manager: dict[str, str]
) -> None:
    body = {**spec(tags={"team": "web"}), "host": "kvm-0"}
    made = json_of(http.post("/v1/vms", json=body, headers=manager), 201)
    (order,) = told(world, 0).orders
    now = world.clock.now()
    tags = {"team": "db", "vm.name": "web-1"}
    world.inventory.see_vms([Vm(order.vm_id, "web-1", world.hosts[1], now, now, "", tags)])

    other = signed_in(engine, Role.VM_ADMIN, "tag:team=db")
    cancel = f"/v1/operations/{made['id']}/cancel"
    delete = {"verb": "delete", "targets": {"vms": [order.vm_id]}, "confirm": "web-1"}
    assert http.post(cancel, headers=other).status_code == 403
    assert http.post("/v1/operations", json=delete, headers=other).status_code == 403

    ends(world, 0, order, State.SUCCEEDED)
    vm = world.inventory.vm(order.vm_id)
    assert (vm.host_id, vm.resource["team"]) == (world.hosts[0], "web")
    assert [period.host_id for period in world.inventory.history(vm.id)] == [world.hosts[0]]


@ONE_ENGINE
def test_who_may_cancel_still_may_when_some_are_gone(
    http: FlaskClient, engine: Engine, world: World, manager: dict[str, str]
) -> None:
    vms = [world.inventory.vm(vm) for vm in world.vms[:2]]
    later = world.clock.now()
    world.inventory.see_vms([replace(vm, resource={"team": "web"}, last_seen=later) for vm in vms])
    body = {"verb": "delete", "targets": {"vms": [vm.id for vm in vms]}, "confirm": "2"}
    made = json_of(http.post("/v1/operations", json=body, headers=manager), 201)
    number = world.hosts.index(vms[0].host_id)
    order = next(of for of in told(world, number).orders if of.vm_id == vms[0].id)
    ends(world, number, order, State.SUCCEEDED)
    mine = signed_in(engine, Role.VM_ADMIN, "tag:team=web")
    assert http.post(f"/v1/operations/{made['id']}/cancel", headers=mine).status_code == 200


@ONE_ENGINE
def test_a_vm_that_was_deleted_where_it_is_no_more_stays_where_it_is(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    vm = world.inventory.vm(world.vms[0])
    body = {"verb": "delete", "targets": {"vms": [vm.id]}, "confirm": vm.name}
    json_of(http.post("/v1/operations", json=body, headers=manager), 201)
    (order,) = told(world, 0).orders
    later = world.clock.now()
    world.inventory.see_vms([replace(vm, host_id=world.hosts[1], last_seen=later)])
    ends(world, 0, order, State.SUCCEEDED)
    assert world.inventory.vm(vm.id).deleted is None


def test_a_deleted_vm_is_listed_no_more_and_kept_on_record(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    vm = world.vms[0]
    planned = {"verb": "delete", "arguments": {"plan": True}, "targets": {"vms": [vm]}}
    json_of(http.post("/v1/operations", json=planned, headers=manager), 201)
    (order,) = told(world, 0).orders
    ends(world, 0, order, State.SUCCEEDED, detail={"plan": [], "kept": []})
    assert vm in {one.id for one in world.inventory.vms()}

    body = {"verb": "delete", "targets": {"vms": [vm]}}
    unconfirmed = json_of(http.post("/v1/operations", json=body, headers=manager), 409)
    json_of(http.post("/v1/operations", json={**body, "confirm": "vm-0-0"}, headers=manager), 201)
    (order,) = told(world, 0).orders
    ends(world, 0, order, State.SUCCEEDED)

    assert "what was created with a VM goes with it: confirm it with" in unconfirmed["message"]
    assert vm not in {one.id for one in world.inventory.vms()}
    assert [one.id for one in world.inventory.vms(deleted=True)] == [vm]
    assert world.inventory.vm(vm).deleted is not None
    assert world.inventory.history(vm)[0].until is not None
    gone = http.post("/v1/operations", json={**body, "confirm": "vm-0-0"}, headers=manager)
    assert gone.status_code == 404


@ONE_ENGINE
def test_a_deleted_vm_that_is_seen_again_is_there_again(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    vm = world.inventory.vm(world.vms[0])
    body = {"verb": "delete", "targets": {"vms": [vm.id]}, "confirm": vm.name}
    json_of(http.post("/v1/operations", json=body, headers=manager), 201)
    (order,) = told(world, 0).orders
    ends(world, 0, order, State.SUCCEEDED)

    def seen(seconds: float) -> None:
        at = world.clock.now() + timedelta(seconds=seconds)
        world.inventory.see_vms([Vm(vm.id, vm.name, vm.host_id, at, at, "kvm", vm.resource)])

    seen(5)  # measured before, and late
    assert world.inventory.vm(vm.id).deleted is not None
    seen(60)
    assert world.inventory.vm(vm.id).deleted is None
    assert len(world.inventory.history(vm.id)) == 2


@ONE_ENGINE
def test_a_schedule_deletes_those_alone_that_were_meant(
    http: FlaskClient, world: World, manager: dict[str, str]
) -> None:
    def asked(targets: dict[str, Any], confirm: str) -> Any:
        operation = {"verb": "delete", "targets": targets, "confirm": confirm}
        body = {"name": "s", "cron": "0 3 * * *", "operation": operation}
        return http.post("/v1/schedules", json=body, headers=manager)

    for targets in ({"select": {"name": "vm-0-0"}}, {"vms": ["vm-0-0"]}):
        refused = json_of(asked(targets, "vm-0-0"), 400)["message"]
        assert "a schedule deletes VMs that are given by their ids" in refused
    assert asked({"vms": [world.vms[0]]}, "vm-0-0").status_code == 201
