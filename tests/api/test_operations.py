"""Operations, commands, schedules and the brake over REST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from api.answers import json_of
from api.test_openapi import schema_errors
from command_world import ADMIN, World
from enrolments import enrolment_of
from novacron_collector.api.app import create_app
from novacron_collector.api.services import Services
from novacron_contract.access import Role
from novacron_contract.commands import VERBS, Force, Verb
from novacron_contract.errors import Unavailable
from novacron_contract.metrics import VmState
from novacron_store.state import Agents, ApiTokens, Change, NewToken
from novacron_store.state.commands import About, Asking
from principals import logged_in, signed_in
from verb_arguments import OF_VERB

ONE_ENGINE = pytest.mark.parametrize("state_kind", ["sqlite"])
INSTANCE = "00000000-0000-4000-8000-000000000000"


def away() -> Any:
    raise Unavailable("the store is away")


@pytest.fixture
def world(engine: Engine) -> World:
    world = World(engine)
    world.add_host(2, team="web")
    world.add_host(1)
    return world


@pytest.fixture
def http(world: World) -> FlaskClient:
    return api_of(world)


def api_of(world: World) -> FlaskClient:
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
def operator(engine: Engine) -> dict[str, str]:
    return signed_in(engine, Role.OPERATOR)


def valid(http: FlaskClient, answer: Any, path: str, status: int = 200, method: str = "get") -> Any:
    """The JSON of an answer that is as the document says."""
    found, document = json_of(answer, status), http.get("/v1/openapi.json").get_json()
    shown = str(status) if status < 400 else "default"
    assert schema_errors(document, path, found, shown, method) == []
    return found


def test_plan_confirm_and_follow(http: FlaskClient, world: World, operator: dict[str, str]) -> None:
    world.states.update(dict.fromkeys(world.vms[:2], VmState.RUNNING))
    body = {"verb": "reset", "targets": {"select": {"state": "running"}}, "reason": "stuck"}

    plan = valid(
        http,
        http.post("/v1/operations", json={**body, "dry_run": True}, headers=operator),
        "/v1/operations",
        200,
        "post",
    )
    assert (plan["total"], plan["confirm"], plan["destructive"]) == (2, "2", True)
    assert [(vm["name"], vm["state"], vm["sensible"]) for vm in plan["vms"]] == [
        ("vm-0-0", "running", True),
        ("vm-0-1", "running", True),
    ]
    refused = http.post("/v1/operations", json=body, headers=operator)
    assert 'confirm it with the number of VMs, "confirm": "2"' in json_of(refused, 409)["message"]
    made = valid(
        http,
        http.post("/v1/operations", json={**body, "confirm": 2}, headers=operator),
        "/v1/operations",
        201,
        "post",
    )
    assert (made["state"], made["total"], made["reason"]) == ("running", 2, "stuck")
    one = f"/v1/operations/{made['id']}"
    assert valid(http, http.get(one), "/v1/operations/{operation_id}") == made
    rows = valid(http, http.get(f"/v1/commands?operation={made['id']}"), "/v1/commands")
    assert [row["state"] for row in rows["commands"]] == ["queued", "queued"]
    detail = http.get(f"/v1/commands/{rows['commands'][0]['id']}")
    told = valid(http, detail, "/v1/commands/{command_id}")
    assert [event["state"] for event in told["events"]] == ["queued"]
    done = valid(
        http,
        http.post(f"{one}/cancel?reason=no", headers=operator),
        "/v1/operations/{operation_id}/cancel",
        200,
        "post",
    )
    assert (done["state"], done["commands"]["cancelled"]) == ("cancelled", 2)
    every = valid(http, http.get("/v1/operations?state=cancelled"), "/v1/operations")
    assert [of["id"] for of in every["operations"]] == [made["id"]]


def test_the_same_key_answers_200_with_the_operation_that_is_there(
    http: FlaskClient, world: World, operator: dict[str, str]
) -> None:
    body = {"verb": "start", "targets": {"vms": ["vm-0-0"]}}
    headers = {**operator, "Idempotency-Key": "deploy-7"}
    first = json_of(http.post("/v1/operations", json=body, headers=headers), 201)
    again = http.post("/v1/operations", json=body, headers=headers)
    assert json_of(again, 200)["id"] == first["id"]
    other = http.post("/v1/operations", json={**body, "ttl": 9}, headers=headers)
    assert json_of(other, 409)["error"] == "Conflict"
    wrong = http.post("/v1/operations", json=body, headers={**operator, "Idempotency-Key": "a/b"})
    assert json_of(wrong, 400)["message"].startswith("Idempotency-Key: expected")


@ONE_ENGINE
@pytest.mark.parametrize("verb", sorted(set(Verb) - {Verb.CREATE}))  # that is test_creation.py
@pytest.mark.parametrize("role", Role)
def test_every_verb_with_every_role_and_scope(
    http: FlaskClient, world: World, engine: Engine, verb: Verb, role: Role
) -> None:
    mine, other = world.hosts
    reaching = ("fleet", f"host:{mine}", "tag:team=web")
    scopes = (*reaching, f"host:{other}", "tag:team=db", "tag:name=web")
    allowed = VERBS[verb].permission in role.permissions
    body = {
        "verb": verb,
        "arguments": OF_VERB.get(verb, {}),
        "targets": {"vms": [world.vms[0]]},
        "confirm": "vm-0-0",
    }
    for within in scopes:
        answer = http.post("/v1/operations", json=body, headers=signed_in(engine, role, within))
        expected = 201 if allowed and within in reaching else 403
        assert answer.status_code == expected, (within, answer.text)


@ONE_ENGINE
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "expected JSON such as"),
        ([], "expected JSON such as"),
        ({"targets": {"vms": ["x"]}}, "either verb or steps"),
        ({"verb": "rename", "targets": {"vms": ["x"]}}, "new_name: expected a name"),
        (
            {"verb": "rename", "arguments": {"new_name": "a/b"}, "targets": {"vms": ["x"]}},
            "new_name: expected a name without '/'",
        ),
        ({"verb": "resize", "targets": {"vms": ["x"]}}, "give vcpus or memory_mib"),
        (
            {"verb": "resize", "arguments": {"vcpus": 1.5}, "targets": {"vms": ["x"]}},
            "vcpus: expected a whole number from 0 to 1024",
        ),
        ({"verb": "dance", "targets": {"vms": ["x"]}}, "verb: expected one of start"),
        ({"verb": "start", "targets": {}}, "targets: expected"),
        ({"verb": "start", "targets": {"vms": []}}, "expected 1 to 10000"),
        ({"verb": "start", "targets": {"vms": ["x"] * 10_001}}, "expected 1 to 10000"),
        ({"verb": "start", "targets": {"vms": [""]}}, "text of at most 512"),
        ({"verb": "start", "targets": {"vms": ["a\0b"]}}, "characters that are none"),
        ({"verb": "start", "targets": {"select": {}}}, "every VM there is"),
        ({"verb": "start", "targets": {"select": {"state": ["odd"]}}}, "state: expected"),
        ({"verb": "start", "targets": {"select": {"state": [{}]}}}, "state: expected"),
        ({"verb": "start", "targets": {"select": {"tags": {"a": 1}}}}, "tags: expected text"),
        ({"verb": "start", "targets": {"vms": ["x"]}, "more": 1}, "more: unknown; allowed"),
        ({"verb": "start", "targets": {"vms": ["x"]}, "ttl": 0}, "ttl: expected seconds"),
        ({"verb": "start", "targets": {"vms": ["x"]}, "ttl": True}, "ttl: expected seconds"),
        ({"verb": "start", "targets": {"vms": ["x"]}, "max_parallel": 0}, "max_parallel"),
        ({"verb": "start", "targets": {"vms": ["x"]}, "reason": "x" * 501}, "reason: expected"),
        ({"steps": [{"verb": "start"}] * 21, "targets": {"vms": ["x"]}}, "list of 1 to 20"),
        (
            {
                "steps": [{"verb": "start", "undo": {"verb": "stop", "undo": {"verb": "start"}}}],
                "targets": {"vms": ["x"]},
            },
            "steps: 1: undo: undo: unknown",
        ),
        (
            {"verb": "stop", "arguments": {"grace_s": -1}, "targets": {"vms": ["x"]}},
            "arguments: grace_s: expected a number from 0",
        ),
    ],
)
def test_what_makes_no_sense_is_explained(
    http: FlaskClient, operator: dict[str, str], body: Any, message: str
) -> None:
    answer = http.post("/v1/operations", json=body, headers=operator)
    assert message in json_of(answer, 400)["message"]


def test_many_vms_by_many_steps_are_too_many(
    http: FlaskClient, operator: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novacron_collector.commands.planning.MAX_COMMANDS", 5)
    steps = [{"verb": "suspend"}, {"verb": "resume"}]
    body = {"steps": steps, "targets": {"select": {"name": "*"}}}
    answer = http.post("/v1/operations", json=body, headers=operator)
    assert "3 VMs by 2 steps" in json_of(answer, 413)["message"]


def test_whoever_may_act_on_all_of_its_vms_may_cancel_what_another_asked_for(
    http: FlaskClient, world: World, engine: Engine, operator: dict[str, str]
) -> None:
    body = {"verb": "start", "targets": {"select": {"name": "vm-*"}}}
    made = json_of(http.post("/v1/operations", json=body, headers=operator), 201)
    url = f"/v1/operations/{made['id']}/cancel"
    within = signed_in(engine, Role.OPERATOR, f"host:{world.hosts[0]}")
    assert http.post(url, headers=within).status_code == 403
    assert http.post(url, headers=signed_in(engine, Role.OPERATOR)).status_code == 200


@ONE_ENGINE
def test_a_verb_that_the_agent_did_not_name_is_refused(
    http: FlaskClient, world: World, operator: dict[str, str]
) -> None:
    about = About(instance=INSTANCE, verbs=("start", "stop"))
    world.commands.journals.describe(world.agent_of[world.hosts[0]], about, world.clock.now())
    body = {"verb": "suspend", "targets": {"vms": ["vm-0-0"]}}
    answer = http.post("/v1/operations", json=body, headers=operator)
    assert "the agent of its host kvm-0 cannot do: suspend" in json_of(answer, 409)["message"]


@ONE_ENGINE
def test_brake(http: FlaskClient, world: World, engine: Engine, operator: dict[str, str]) -> None:
    admin = signed_in(engine, Role.ADMIN)
    on = {"held": True, "reason": "a storm"}
    held = valid(http, http.put("/v1/brake", json=on, headers=admin), "/v1/brake", 200, "put")
    assert (held["held"], held["reason"]) == (True, "a storm")
    assert valid(http, http.get("/v1/brake"), "/v1/brake") == held
    assert http.put("/v1/brake", json=on, headers=operator).status_code == 403
    assert world.audit("commands.hold")[0].reason == "a storm"


# -- schedules ------------------------------------------------------------------------------------


def nightly(**more: Any) -> dict[str, Any]:
    operation = {"verb": "start", "targets": {"vms": ["vm-0-0"]}}
    return {"name": "nightly", "cron": "0 3 * * *", "operation": operation, **more}


def test_schedule_is_made_shown_paused_and_deleted(
    http: FlaskClient, world: World, operator: dict[str, str], engine: Engine
) -> None:
    path = "/v1/schedules"
    body = nightly(zone="Europe/Berlin")
    made = valid(http, http.post(path, json=body, headers=operator), path, 201, "post")
    assert len(made["next_runs"]) == 5
    hours = {datetime.fromisoformat(one).hour for one in made["next_runs"]}
    assert hours <= {1, 2}  # three o'clock in Berlin, in UTC
    one = f"{path}/{made['id']}"
    assert valid(http, http.get(one), f"{path}/{{schedule_id}}") == made
    assert valid(http, http.get(path), path)["schedules"] == [made]
    paused = valid(
        http,
        http.patch(one, json={"paused": True}, headers=operator),
        f"{path}/{{schedule_id}}",
        200,
        "patch",
    )
    assert (paused["paused"], paused["next_runs"]) == (True, [])
    other = signed_in(engine, Role.OPERATOR)
    assert http.patch(one, json={"paused": False}, headers=other).status_code == 403
    assert http.delete(one, headers=other).status_code == 403
    deleted = http.delete(one, headers=operator)
    assert valid(http, deleted, f"{path}/{{schedule_id}}", 200, "delete") == {}
    assert [row.action for row in world.audit("schedule")] == [
        *("schedule.delete", "schedule.pause", "schedule.create"),
    ]


@ONE_ENGINE
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"cron": "* * *"}, "five fields"),
        ({"cron": "* * * * * *"}, "five fields"),
        ({"cron": "0 0 30 2 *"}, "is no time"),
        ({"cron": "99 * * * *"}, "is no time"),
        ({"zone": "Mars/Olympus"}, "zone: expected one such as"),
        ({"zone": "../../etc/passwd"}, "zone: expected one such as"),
        ({"at": "2099-01-01T00:00:00Z"}, "expected JSON such as"),
        ({"name": ""}, "expected JSON such as"),
        ({"operation": {"verb": "start"}}, "expected JSON such as"),
        (
            {"operation": {"verb": "start", "targets": {"vms": ["vm-0-0"]}, "dry_run": True}},
            "does nothing",
        ),
    ],
)
def test_a_schedule_that_makes_no_sense_is_explained(
    http: FlaskClient, operator: dict[str, str], more: dict[str, Any], message: str
) -> None:
    answer = http.post("/v1/schedules", json=nightly(**more), headers=operator)
    assert message in json_of(answer, 400)["message"]


def test_a_schedule_runs_once_at_its_time_as_its_owner(
    http: FlaskClient, world: World, operator: dict[str, str]
) -> None:
    at = (world.clock.now() + timedelta(minutes=5)).isoformat()
    body = nightly(at=at)
    del body["cron"]
    made = json_of(http.post("/v1/schedules", json=body, headers=operator), 201)
    world.commands.look_after()
    assert world.commands.listing.operations(10, 0)[1] == 0
    world.clock.pass_by(301)
    for _ in range(3):
        world.commands.look_after()
    (operation,), total = world.commands.listing.operations(10, 0)
    assert total == 1
    assert (operation.schedule_id, operation.issuer_name) == (made["id"], made["owner"])
    shown = json_of(http.get(f"/v1/schedules/{made['id']}"))
    assert (shown["runs"], shown["next_runs"]) == (1, [])
    assert shown["last_operation"] == operation.id


@pytest.mark.parametrize(
    ("away_s", "runs", "skipped"),
    [(50 * 60, 1, 4), (10 * 3600, 1, 59)],
)
def test_what_was_missed_is_done_once_and_the_rest_is_counted(
    http: FlaskClient,
    world: World,
    operator: dict[str, str],
    away_s: float,
    runs: int,
    skipped: int,
) -> None:
    body = nightly(cron="*/10 * * * *")
    made = json_of(http.post("/v1/schedules", json=body, headers=operator), 201)
    world.clock.pass_by(away_s)
    world.commands.look_after()
    shown = json_of(http.get(f"/v1/schedules/{made['id']}"))
    assert shown["runs"] == runs
    assert abs(shown["skipped"] - skipped) <= 1
    assert world.commands.listing.operations(10, 0)[1] == runs


def test_what_was_missed_for_more_than_an_hour_is_skipped_and_on_record(
    http: FlaskClient, world: World, operator: dict[str, str]
) -> None:
    now = world.clock.now().astimezone(UTC)
    two_hours_on = (now + timedelta(hours=2)).replace(minute=0)
    body = nightly(cron=f"0 {two_hours_on.hour} * * *")
    made = json_of(http.post("/v1/schedules", json=body, headers=operator), 201)
    world.clock.pass_by(2 * 3600 + 2 * 3600)
    world.commands.look_after()
    shown = json_of(http.get(f"/v1/schedules/{made['id']}"))
    assert (shown["runs"], shown["skipped"]) == (0, 1)
    assert "the collector was down" in shown["problem"]
    assert world.audit("schedule.run")[0].outcome == "expired"
    assert len(shown["next_runs"]) == 5


def test_a_schedule_has_the_rights_that_its_owner_has_then(
    http: FlaskClient, world: World, engine: Engine
) -> None:
    caller = world.somebody(Role.OPERATOR)
    user = caller.principal
    _, secret = ApiTokens(engine).create(NewToken("t"), caller)
    headers = {"Authorization": f"Bearer {secret}"}
    body = nightly(cron="*/5 * * * *")
    made = json_of(http.post("/v1/schedules", json=body, headers=headers), 201)

    def next_run() -> dict[str, Any]:
        world.clock.pass_by(301)
        world.commands.look_after()
        found: dict[str, Any] = json_of(http.get(f"/v1/schedules/{made['id']}"))
        return found

    world.users.add("root", None, world.somebody(Role.ADMIN).principal.grants, ADMIN)
    assert next_run()["runs"] == 1
    world.users.change(user.name, Change(grants=()), ADMIN)
    assert "has no right of vm.power" in next_run()["problem"]
    world.users.change(user.name, Change(disabled=True), ADMIN)
    assert "is disabled" in next_run()["problem"]
    assert world.commands.listing.operations(10, 0)[1] == 1
    assert [row.outcome for row in world.audit("schedule.run")] == ["denied", "failed"]


def test_an_agent_that_is_away_keeps_nothing_from_being_asked_for(
    http: FlaskClient, world: World, operator: dict[str, str]
) -> None:
    made = json_of(
        http.post(
            "/v1/operations",
            json={"verb": "start", "targets": {"vms": ["vm-0-0"]}, "ttl": 60},
            headers=operator,
        ),
        201,
    )
    dispatch = world.commands.polls.dispatch
    agent = world.agent_of[world.hosts[0]]
    assert dispatch.wanted(world.clock.now()) == {agent}
    world.clock.pass_by(61)
    world.commands.look_after()
    assert dispatch.wanted(world.clock.now()) == set()
    assert dispatch.round({agent: Asking(INSTANCE, 5)}, world.clock.now()).told == {}
    shown = json_of(http.get(f"/v1/operations/{made['id']}"))
    assert (shown["state"], shown["commands"]["expired"]) == ("failed", 1)


def test_stop_at_once_is_destructive_and_a_graceful_one_is_not(
    http: FlaskClient, operator: dict[str, str]
) -> None:
    for force, status in ((Force.NOW, 409), (Force.AFTER_GRACE, 201)):
        body = {
            "verb": "stop",
            "arguments": {"force": force},
            "targets": {"vms": ["vm-0-0"]},
        }
        assert http.post("/v1/operations", json=body, headers=operator).status_code == status


@ONE_ENGINE
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"disabled": True}, "its issuer was disabled"),
        ({"grants": []}, "its issuer's grants changed"),
        (None, "its issuer was removed"),
    ],
)
def test_what_goes_on_of_who_may_not_any_more_is_cancelled(
    world: World, http: FlaskClient, engine: Engine, body: Any, why: str
) -> None:
    operator, admin = signed_in(engine, Role.OPERATOR), logged_in(engine, Role.ADMIN)
    asked = {"verb": "start", "targets": {"vms": ["vm-0-0"]}}
    made = json_of(http.post("/v1/operations", json=asked, headers=operator), 201)
    name = ApiTokens(engine).all()[0].user
    path = f"/v1/users/{name}"
    ask = http.delete(path, headers=admin) if body is None else None
    json_of(ask or http.patch(path, json=body, headers=admin))
    assert world.commands.operations.one(made["id"]).problem.startswith("cancelled by admin-")
    assert [row.reason for row in world.audit("operation.cancel")] == [why]


def test_to_start_a_saved_vm_afresh_is_destructive(
    http: FlaskClient, world: World, operator: dict[str, str]
) -> None:
    body = {
        "verb": "start",
        "arguments": {"discard_saved": True},
        "targets": {"vms": ["vm-0-0"]},
    }
    refused = json_of(http.post("/v1/operations", json=body, headers=operator), 409)
    assert "may lose what they have not written" in refused["message"]
    body["confirm"] = "vm-0-0"
    assert http.post("/v1/operations", json=body, headers=operator).status_code == 201


def test_a_vm_is_renamed_alone_and_to_what_no_other_on_its_host_is_called(
    http: FlaskClient, world: World, engine: Engine
) -> None:
    manager = signed_in(engine, Role.VM_ADMIN, "fleet")

    def rename(vms: list[str], name: str, status: int) -> str:
        body = {"verb": "rename", "arguments": {"new_name": name}, "targets": {"vms": vms}}
        answer = json_of(http.post("/v1/operations", json=body, headers=manager), status)
        return str(answer.get("message", ""))

    assert "rename: one VM at a time" in rename(["vm-0-0", "vm-0-1"], "x", 400)
    assert "kvm-0 has a VM named vm-0-1" in rename(["vm-0-0"], "vm-0-1", 409)
    rename(["vm-0-0"], "vm-0-0", 201)
    rename(["vm-0-0"], "vm-1-0", 201)  # on another host


@ONE_ENGINE
def test_a_name_by_which_rights_are_given_is_given_by_those_who_have_them(
    http: FlaskClient, world: World, engine: Engine
) -> None:
    signed_in(engine, Role.OPERATOR, "tag:vm.name=secret")
    body = {"verb": "rename", "arguments": {"new_name": "secret"}, "targets": {"vms": ["vm-0-0"]}}
    for scope, status in (("tag:team=web", 403), ("fleet", 201)):
        other = signed_in(engine, Role.VM_ADMIN, scope)
        answer = http.post("/v1/operations", json=body, headers=other)
        assert answer.status_code == status, answer.text
    undone = {"steps": [{"verb": "stop", "undo": {k: body[k] for k in ("verb", "arguments")}}]}
    other = signed_in(engine, Role.VM_ADMIN, "tag:team=web")
    answer = http.post("/v1/operations", json={**undone, "targets": body["targets"]}, headers=other)
    assert answer.status_code == 403, answer.text
