"""Users, sessions and tokens over REST: who is let in, who may do what, and what is on record."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from api.answers import json_of
from command_world import commands_of
from enrolments import enrolment_of
from novacron_collector.access.access import Access
from novacron_collector.api.app import create_app
from novacron_collector.api.services import Services
from novacron_contract.access import SYSTEM, Grant, Role, scope
from novacron_contract.errors import Unavailable
from novacron_store.state import Agents, Caller, Inventory
from novacron_store.state.audit import Wanted
from novacron_store.state.copy import dump
from principals import QUICK, Clock, access_of, signed_in

PASSWORD = "correct horse battery"


def away() -> NoReturn:
    raise Unavailable("the store is away")


@dataclass
class World:
    access: Access
    clock: Clock
    http: FlaskClient

    def user(self, name: str, *grants: str, password: str = PASSWORD) -> None:
        given = [Grant(Role(role), scope(of)) for role, _, of in map(_parts, grants)]
        self.access.users.add(name, QUICK.hash(password.encode()), given, Caller(SYSTEM))

    def login(self, name: str, password: str = PASSWORD, source: str = "127.0.0.1") -> Any:
        return self.http.post(
            "/v1/sessions",
            json={"name": name, "password": password},
            environ_base={"REMOTE_ADDR": source},
        )

    def headers(self, name: str, password: str = PASSWORD) -> dict[str, str]:
        return bearer(json_of(self.login(name, password), 201)["token"])

    def actions(self) -> list[tuple[str, str, str, str]]:
        rows = self.access.audit.rows(Wanted(), limit=1000)
        return [(row.actor_name, row.action, row.target, row.outcome) for row in reversed(rows)]


def _parts(text: str) -> tuple[str, str, str]:
    return text.partition(" ")


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def make(engine: Engine) -> Callable[..., World]:
    def made(**settings: Any) -> World:
        clock = Clock()
        access = access_of(engine, clock=clock, **settings)
        services = Services(
            inventory=Inventory(engine),
            agents=Agents(engine),
            access=access,
            enrolment=enrolment_of(engine),
            commands=commands_of(engine, access),
            telemetry=away,
            reader=away,
            version="0.1.0",
            started=clock.now(),
            now=clock.now,
        )
        return World(access, clock, create_app(services).test_client())

    return made


@pytest.fixture
def world(make: Callable[..., World]) -> World:
    world = make()
    world.user("root", "admin fleet")
    world.user("ann", "operator host:h1")
    return world


# -- logging in -----------------------------------------------------------------------------------


def test_a_name_and_its_password_are_a_session_until_it_is_ended(world: World) -> None:
    headers = world.headers("ann")
    assert json_of(world.http.get("/v1/self", headers=headers)) == {
        "kind": "user",
        "name": "ann",
        "grants": [{"role": "operator", "scope": "host:h1"}],
        "limit": None,
        "permissions": ["read", "vm.power"],
    }
    json_of(world.http.delete("/v1/sessions", headers=headers))
    json_of(world.http.get("/v1/self", headers=headers), 401)
    assert world.actions()[-3:] == [
        ("ann", "session.create", "user:ann", "succeeded"),
        ("ann", "session.end", "user:ann", "succeeded"),
        ("anonymous", "access.denied", "credential", "denied"),
    ]


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong password"), ("nobody", PASSWORD), ("ann", ""), ("", ""), ("ann", "x" * 5000)],
)
def test_a_wrong_name_and_a_wrong_password_look_alike(
    world: World, name: str, password: str
) -> None:
    answer = world.login(name, password)
    assert json_of(answer, 401) == {
        "error": "Unauthenticated",
        "message": "the name or the password is wrong",
    }
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_what_was_typed_as_a_name_is_on_record_only_if_it_is_one(world: World) -> None:
    world.login("my secret password", "ann")
    world.login("ann", "wrong password")
    denied = [row for row in world.actions() if row[3] == "denied"]
    assert denied == [
        ("anonymous", "session.create", "user:unknown", "denied"),
        ("anonymous", "session.create", "user:ann", "denied"),
    ]


@pytest.mark.parametrize(
    ("waited", "status"),
    [({"hours": 11.9}, 200), ({"hours": 12}, 401)],
)
def test_a_session_ends_when_it_is_not_used(
    world: World, waited: dict[str, float], status: int
) -> None:
    headers = world.headers("ann")
    world.clock.wait(**waited)
    json_of(world.http.get("/v1/self", headers=headers), status)


def test_a_session_ends_after_a_week_however_much_it_is_used(world: World) -> None:
    headers = world.headers("ann")
    for _ in range(15):
        world.clock.wait(hours=11)
        json_of(world.http.get("/v1/self", headers=headers))
    world.clock.wait(hours=4)
    json_of(world.http.get("/v1/self", headers=headers), 401)


def test_five_wrong_passwords_lock_a_name_out_for_that_source_alone(world: World) -> None:
    for _ in range(5):
        json_of(world.login("ann", "wrong password"), 401)

    answer = world.login("ann")
    assert "try again in 15 min" in json_of(answer, 429)["message"]
    assert int(answer.headers["Retry-After"]) > 0
    json_of(world.login("ann", source="::2"), 201)
    json_of(world.login("root"), 201)
    world.clock.wait(minutes=14)
    json_of(world.login("ann"), 429)
    world.clock.wait(minutes=1, seconds=1)
    json_of(world.login("ann"), 201)


def test_wrong_passwords_of_long_ago_and_before_a_right_one_do_not_count(world: World) -> None:
    for _ in range(3):
        for _ in range(4):
            json_of(world.login("ann", "wrong password"), 401)
        json_of(world.login("ann"), 201)
    for _ in range(6):
        json_of(world.login("ann", "wrong password"), 401)
        world.clock.wait(minutes=4)


def test_a_source_may_try_so_many_times_a_minute(make: Callable[..., World]) -> None:
    world = make(logins_per_minute=10)
    for number in range(10):
        json_of(world.login(f"user-{number}"), 401)
    assert "from this address" in json_of(world.login("user-11"), 429)["message"]
    json_of(world.login("user-11", source="10.0.0.1"), 401)
    world.clock.wait(seconds=6)
    json_of(world.login("user-11"), 401)
    json_of(world.login("user-12"), 429)


# -- credentials ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Basic cm9vdDpyb290", f"Bearer nct_{'a' * 43}",
     f"Bearer nvs_{'a' * 43}", f"Bearer nci_{'a' * 43}", "Bearer nct_" + "a" * 9000,
     f"Bearer nct_{'a' * 43}, Bearer x"],
)  # fmt: skip
@pytest.mark.parametrize("anonymous", [True, False])
def test_a_credential_that_does_not_hold_is_refused_where_anybody_may_come_too(
    make: Callable[..., World], header: str, anonymous: bool
) -> None:
    world = make(anonymous=anonymous)
    for path in ("/v1/self", "/v1/vms"):
        answer = world.http.get(path, headers={"Authorization": header})
        json_of(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    json_of(world.http.get("/healthz", headers={"Authorization": header}))


def test_nobody_is_let_in_where_anonymous_is_off(make: Callable[..., World]) -> None:
    world = make(anonymous=False)
    json_of(world.http.get("/v1/self"), 401)
    json_of(world.http.get("/v1/hosts"), 401)
    json_of(world.http.get("/healthz"))


def make_token(world: World, name: str, **body: Any) -> dict[str, Any]:
    answer = world.http.post("/v1/tokens", json={"name": "ci", **body}, headers=world.headers(name))
    made: dict[str, Any] = json_of(answer, 201)
    return made


def test_a_token_has_its_users_rights_or_fewer(world: World) -> None:
    whole = make_token(world, "root")
    viewer = make_token(world, "root", grants=[{"role": "viewer"}])
    more = make_token(world, "ann", grants=[{"role": "admin"}])

    assert world.http.get("/v1/users", headers=bearer(whole["token"])).status_code == 200
    json_of(world.http.get("/v1/users", headers=bearer(viewer["token"])), 403)
    json_of(world.http.get("/v1/users", headers=bearer(more["token"])), 403)
    told = json_of(world.http.get("/v1/self", headers=bearer(more["token"])))
    assert (told["kind"], told["permissions"]) == ("token", ["read", "vm.power"])


def test_a_token_is_shown_once_and_counts_its_use_by_the_minute(world: World) -> None:
    made = make_token(world, "ann")
    headers = world.headers("ann")

    def listed() -> dict[str, Any]:
        answer = json_of(world.http.get("/v1/tokens", headers=headers))
        assert made["token"] not in str(answer)
        [token] = answer["tokens"]
        found: dict[str, Any] = token
        return found

    assert listed()["last_used"] is None
    used: list[str] = []
    for seconds in (0, 30, 31):
        world.clock.wait(seconds=seconds)
        json_of(world.http.get("/v1/self", headers=bearer(made["token"])))
        used.append(listed()["last_used"])
    assert used == ["2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z", "2026-11-24T12:01:01Z"]


def test_a_token_ends_when_its_time_is_over_or_it_is_revoked(world: World) -> None:
    short, other = make_token(world, "ann", days=1), make_token(world, "ann")
    world.clock.wait(days=1)
    json_of(world.http.get("/v1/self", headers=bearer(short["token"])), 401)
    json_of(world.http.get("/v1/self", headers=bearer(other["token"])))
    json_of(world.http.delete(f"/v1/tokens/{other['id']}", headers=world.headers("ann")))
    json_of(world.http.get("/v1/self", headers=bearer(other["token"])), 401)


def test_a_token_makes_no_tokens_and_no_passwords(world: World) -> None:
    headers = bearer(make_token(world, "root", grants=[{"role": "viewer"}])["token"])
    json_of(world.http.post("/v1/tokens", json={"name": "more"}, headers=headers), 403)
    body = {"password": "another password", "old_password": PASSWORD}
    json_of(world.http.patch("/v1/users/root", json=body, headers=headers), 403)
    json_of(world.http.delete("/v1/sessions", headers=headers), 403)


def test_an_admins_token_makes_no_admin(world: World) -> None:
    headers = bearer(make_token(world, "root")["token"])
    grants = [{"role": "admin"}]
    new = {"name": "eve", "password": "another password", "grants": grants}
    json_of(world.http.post("/v1/users", json=new, headers=headers), 403)
    for body in ({"grants": grants}, {"password": "another password"}, {"disabled": False}):
        json_of(world.http.patch("/v1/users/ann", json=body, headers=headers), 403)


def test_nobody_revokes_anothers_token_but_an_admin(world: World) -> None:
    of_root, of_ann = make_token(world, "root"), make_token(world, "ann")
    ann, root = world.headers("ann"), world.headers("root")
    json_of(world.http.delete(f"/v1/tokens/{of_root['id']}", headers=ann), 404)
    assert json_of(world.http.get("/v1/tokens", headers=ann))["total"] == 1
    assert json_of(world.http.get("/v1/tokens", headers=root))["total"] == 2
    json_of(world.http.delete(f"/v1/tokens/{of_ann['id']}?reason=leak", headers=root))
    json_of(world.http.get("/v1/self", headers=bearer(of_ann["token"])), 401)
    revoked = world.access.audit.rows(Wanted(action="token.revoke"))[0]
    assert (revoked.actor_name, revoked.reason) == ("root", "leak")


def test_what_another_process_revokes_ends_within_seconds(world: World, engine: Engine) -> None:
    made = make_token(world, "ann")
    json_of(world.http.get("/v1/self", headers=bearer(made["token"])))
    access_of(engine).tokens.revoke(made["id"], Caller(SYSTEM))
    world.clock.wait(seconds=2)
    json_of(world.http.get("/v1/self", headers=bearer(made["token"])), 401)


# -- users ----------------------------------------------------------------------------------------


def test_an_admin_adds_a_user_who_may_what_was_granted(world: World) -> None:
    root = world.headers("root")
    body = {"name": "bob", "password": PASSWORD, "grants": [{"role": "vm-admin", "scope": "fleet"}]}
    json_of(world.http.post("/v1/users?reason=hired", json=body, headers=root), 201)

    bob = json_of(world.http.get("/v1/self", headers=world.headers("bob")))
    assert bob["permissions"] == ["read", "vm.power", "vm.manage"]
    json_of(world.http.post("/v1/users", json=body, headers=root), 409)
    assert [
        user["name"] for user in json_of(world.http.get("/v1/users", headers=root))["users"]
    ] == [
        *("ann", "bob", "root"),
    ]
    row = world.access.audit.rows(Wanted(action="user.create", target="user:bob"))[0]
    assert (row.actor_name, row.source, row.reason, row.detail) == (
        *("root", "127.0.0.1", "hired", '{"grants":["vm-admin fleet"]}'),
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "expected JSON"),
        ([], "expected JSON"),
        ({"name": "bob"}, "expected JSON"),
        ({"name": "bob", "password": PASSWORD, "more": 1}, "expected JSON"),
        ({"name": "bob", "password": "short"}, "shorter than 10"),
        ({"name": "bob", "password": "ü" * 513}, "longer than 1024 bytes"),
        ({"name": "a-long-name", "password": "A-LONG-NAME"}, "it is the name"),
        ({"name": "Bob", "password": PASSWORD}, "name: expected"),
        ({"name": "b/b", "password": PASSWORD}, "name: expected"),
        ({"name": "b" * 65, "password": PASSWORD}, "name: expected"),
        ({"name": "bob", "password": PASSWORD, "grants": {}}, "grants: expected"),
        ({"name": "bob", "password": PASSWORD, "grants": [{"role": "king"}]}, "role: expected"),
        (
            {"name": "bob", "password": PASSWORD, "grants": [{"role": "admin", "scope": "world"}]},
            "expected fleet, host:ID",
        ),
        (
            {"name": "bob", "password": PASSWORD, "grants": [{"role": "admin"}] * 101},
            "100 or fewer",
        ),
    ],
)
def test_a_user_that_cannot_be_is_refused_with_what_is_expected(
    world: World, body: Any, said: str
) -> None:
    answer = json_of(world.http.post("/v1/users", json=body, headers=world.headers("root")), 400)
    assert said in answer["message"]
    assert PASSWORD not in answer["message"]


def test_who_is_disabled_is_out_at_once_with_every_token(world: World) -> None:
    token, session = bearer(make_token(world, "ann")["token"]), world.headers("ann")
    root = world.headers("root")
    for headers in (token, session):
        json_of(world.http.get("/v1/self", headers=headers))

    json_of(world.http.patch("/v1/users/ann", json={"disabled": True}, headers=root))

    for headers in (token, session):
        json_of(world.http.get("/v1/self", headers=headers), 401)
    json_of(world.login("ann"), 401)
    json_of(world.http.patch("/v1/users/ann", json={"disabled": False}, headers=root))
    for headers in (token, session):
        json_of(world.http.get("/v1/self", headers=headers), 401)
    world.headers("ann")


def test_who_is_removed_is_out_at_once(world: World) -> None:
    session = world.headers("ann")
    json_of(world.http.delete("/v1/users/ann", headers=world.headers("root")))
    json_of(world.http.get("/v1/self", headers=session), 401)
    json_of(world.login("ann"), 401)


@pytest.mark.parametrize(
    ("method", "body"),
    [("patch", {"disabled": True}), ("patch", {"grants": []}), ("delete", None),
     ("patch", {"grants": [{"role": "admin", "scope": "host:h1"}]})],
)  # fmt: skip
def test_the_last_admin_stays(world: World, method: str, body: Any) -> None:
    root = world.headers("root")
    answer = getattr(world.http, method)("/v1/users/root", json=body, headers=root)
    assert "last admin" in json_of(answer, 409)["message"]
    world.user("second", "admin fleet")
    json_of(getattr(world.http, method)("/v1/users/root", json=body, headers=root))
    actions = [action for _, action, target, _ in world.actions() if target == "user:root"]
    assert (
        len([action for action in actions if action not in ("user.create", "session.create")]) == 1
    )


def test_new_grants_hold_for_sessions_that_are_there(world: World) -> None:
    session = world.headers("ann")
    json_of(world.http.get("/v1/users", headers=session), 403)
    body = {"grants": [{"role": "admin"}]}
    json_of(world.http.patch("/v1/users/ann", json=body, headers=world.headers("root")))
    json_of(world.http.get("/v1/users", headers=session))
    row = world.access.audit.rows(Wanted(action="user.grant"))[0]
    assert row.detail == '{"after":["admin fleet"],"before":["operator host:h1"]}'


def test_everybody_changes_their_own_password_with_the_old_one(world: World) -> None:
    first, second = world.headers("ann"), world.headers("ann")
    new = "another password"

    def change(status: int, **body: str) -> Any:
        return json_of(world.http.patch("/v1/users/ann", json=body, headers=first), status)

    assert "old_password: missing" in change(400, password=new)["message"]
    assert "old password is wrong" in change(403, password=new, old_password="wrong")["message"]
    change(200, password=new, old_password=PASSWORD)
    json_of(world.http.get("/v1/self", headers=first))
    json_of(world.http.get("/v1/self", headers=second), 401)
    json_of(world.login("ann", PASSWORD), 401)
    world.headers("ann", new)


def test_an_open_session_is_no_way_to_guess_the_password(world: World) -> None:
    session = world.headers("ann")
    for number in range(5):
        body = {"password": "another password", "old_password": f"guess {number}"}
        json_of(world.http.patch("/v1/users/ann", json=body, headers=session), 403)
    body = {"password": "another password", "old_password": PASSWORD}
    json_of(world.http.patch("/v1/users/ann", json=body, headers=session), 429)


def test_an_admin_sets_a_password_without_the_old_one(world: World) -> None:
    session = world.headers("ann")
    body = {"password": "another password"}
    json_of(world.http.patch("/v1/users/ann", json=body, headers=world.headers("root")))
    json_of(world.http.get("/v1/self", headers=session), 401)
    world.headers("ann", "another password")


def test_who_is_no_admin_changes_and_sees_nobody_else(world: World) -> None:
    ann = world.headers("ann")
    bodies: list[dict[str, Any]] = [
        {"password": "another password"},
        {"grants": []},
        {"disabled": True},
    ]
    for body in bodies:
        json_of(world.http.patch("/v1/users/root", json=body, headers=ann), 403)
    json_of(
        world.http.patch("/v1/users/ann", json={"grants": [{"role": "admin"}]}, headers=ann), 403
    )
    json_of(world.http.get("/v1/users/root", headers=ann), 403)
    json_of(world.http.get("/v1/users/nobody", headers=ann), 403)
    assert json_of(world.http.get("/v1/users/ann", headers=ann))["name"] == "ann"


# -- the audit ------------------------------------------------------------------------------------


def test_what_was_denied_is_on_record_and_repeats_are_counted(world: World) -> None:
    ann = world.headers("ann")
    for _ in range(50):
        json_of(world.http.get("/v1/users", headers=ann), 403)
    world.clock.wait(minutes=1)
    root = world.headers("root")
    rows = json_of(world.http.get("/v1/audit?outcome=denied", headers=root))["rows"]
    assert [(row["actor"]["name"], row["action"], row["target"]) for row in rows] == [
        ("ann", "access.denied", "fleet")
    ] * 2
    assert [row["detail"] for row in rows] == [
        {"permission": "administer", "repeated": 49},
        {"permission": "administer"},
    ]


def test_strangers_cannot_flood_the_audit(world: World) -> None:
    for number in range(300):
        world.http.get(
            "/v1/self",
            headers=bearer("nct_wrong"),
            environ_base={"REMOTE_ADDR": f"10.0.{number // 250}.{number % 250}"},
        )
    world.access.denials.write_all()
    denied = world.access.audit.rows(Wanted(outcome="denied"), limit=1000)
    assert len(denied) == 65
    assert denied[0].detail == '{"repeated":236}'


def test_the_audit_is_read_page_by_page_and_verified(world: World) -> None:
    root = world.headers("root")
    kept = json_of(world.http.get("/v1/audit/verify", headers=root))
    assert kept["whole"]
    world.headers("ann")
    pages, before = [], ""
    while True:
        page = json_of(world.http.get(f"/v1/audit?limit=2{before}", headers=root))
        pages += [row["seq"] for row in page["rows"]]
        if page["before"] is None:
            break
        before = f"&before={page['before']}"
    assert pages == [4, 3, 2, 1]
    again = json_of(world.http.get(f"/v1/audit/verify?head={kept['head']}", headers=root))
    assert (again["whole"], again["head"].partition(":")[0]) == (True, "4")
    gone = json_of(world.http.get(f"/v1/audit/verify?head=9:{'0' * 64}", headers=root))
    assert (gone["whole"], gone["bad_seq"]) == (False, 5)
    json_of(world.http.get("/v1/audit/verify?head=x", headers=root), 400)
    json_of(world.http.get("/v1/audit", headers=world.headers("ann")), 403)


def test_no_secret_is_in_the_database_or_the_log(
    world: World, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    root = world.headers("root")
    token = make_token(world, "ann")["token"]
    ann = world.headers("ann")
    world.login("ann", "a wrong secret")
    json_of(world.http.get("/v1/self", headers=bearer(token[:-1] + "-")), 401)
    body = {"password": "a new secret", "old_password": PASSWORD}
    json_of(world.http.patch("/v1/users/ann", json=body, headers=ann))
    secrets = [PASSWORD, "a wrong secret", "a new secret", token, token[12:]]
    secrets += [headers["Authorization"][-40:] for headers in (root, ann)]

    written = "\n".join([*dump(engine), caplog.text])
    assert [secret for secret in secrets if secret in written] == []


def test_tokens_for_tests_hold(world: World, engine: Engine) -> None:
    headers = signed_in(engine, Role.VM_ADMIN, "tag:team=web")
    told = json_of(world.http.get("/v1/self", headers=headers))
    assert told["grants"] == [{"role": "vm-admin", "scope": "tag:team=web"}]
