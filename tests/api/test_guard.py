"""Every route and every role: what each may, and that no route is forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine

from command_world import commands_of
from enrolments import enrolment_of
from novacron_collector.api.app import create_app
from novacron_collector.api.guard import guard, needs, public
from novacron_collector.api.services import Services
from novacron_contract.access import Permission, Role
from novacron_contract.errors import Unavailable
from novacron_store.state import Agents, Inventory
from principals import Clock, access_of, logged_in, signed_in

pytestmark = pytest.mark.parametrize("state_kind", ["sqlite"])  # no matter here

ANYBODY = "anybody"  # with whatever credential
LET_IN = "let in"  # anonymous, too
ACCOUNT = "account"
PERSON = "person"  # who logged in, and no token
ADMIN_PERSON = "admin in person"
ITSELF = "itself"  # who logged in, and a token for itself: this test asks for another
READ, ADMINISTER = Permission.READ, Permission.ADMINISTER
POWER = Permission.VM_POWER  # within some scope
MANAGE = Permission.VM_MANAGE  # within some scope
# A new route fails this test until it is here, with what it needs.
ROUTES = {
    "GET /healthz": ANYBODY,
    "GET /readyz": ANYBODY,
    "GET /v1/openapi.json": ANYBODY,
    "POST /v1/sessions": ANYBODY,
    "GET /v1/self": LET_IN,
    "GET /v1/status": READ,
    "GET /v1/hosts": READ,
    "GET /v1/hosts/{id_or_name}": READ,
    "GET /v1/vms": READ,
    "POST /v1/vms": MANAGE,  # each host is asked for: test_creation.py
    "GET /v1/vms/{id_or_name}": READ,
    "GET /v1/vm-spec": READ,
    "GET /v1/agents": READ,
    "GET /v1/metrics": READ,
    "GET /v1/query": READ,
    "POST /v1/series": READ,
    "GET /v1/export": READ,
    "POST /v1/sql": READ,
    "DELETE /v1/sessions": PERSON,
    "GET /v1/users": ADMINISTER,
    "POST /v1/users": ADMIN_PERSON,
    "GET /v1/users/{name}": ADMINISTER,  # of others, as this test asks
    "PATCH /v1/users/{name}": ADMIN_PERSON,
    "DELETE /v1/users/{name}": ADMINISTER,
    "GET /v1/tokens": ACCOUNT,
    "POST /v1/tokens": PERSON,
    "DELETE /v1/tokens/{token_id}": ITSELF,
    "GET /v1/identities": ADMINISTER,
    "GET /v1/identities/{agent_id}": ADMINISTER,
    "PATCH /v1/identities/{agent_id}": ADMINISTER,
    "POST /v1/identities/{agent_id}/revoke": ADMINISTER,
    "GET /v1/join-tokens": ADMINISTER,
    "POST /v1/join-tokens": ADMINISTER,
    "DELETE /v1/join-tokens/{token_id}": ADMINISTER,
    "GET /v1/ingest-tokens": ADMINISTER,
    "POST /v1/ingest-tokens": ADMINISTER,
    "DELETE /v1/ingest-tokens/{token_id}": ADMINISTER,
    "GET /v1/audit": ADMINISTER,
    "GET /v1/audit/verify": ADMINISTER,
    "GET /v1/operations": READ,
    "POST /v1/operations": POWER,  # each VM is asked for: test_operations.py
    "GET /v1/operations/{operation_id}": READ,
    "POST /v1/operations/{operation_id}/cancel": POWER,
    "GET /v1/commands": READ,
    "GET /v1/commands/{command_id}": READ,
    "GET /v1/verbs": READ,
    "GET /v1/brake": READ,
    "PUT /v1/brake": ADMINISTER,
    "GET /v1/schedules": READ,
    "POST /v1/schedules": POWER,
    "GET /v1/schedules/{schedule_id}": READ,
    "PATCH /v1/schedules/{schedule_id}": POWER,
    "DELETE /v1/schedules/{schedule_id}": POWER,
}
SCOPES = ("fleet", "host:h1", "tag:team=web")
BODIES = {"PATCH /v1/users/{name}": {"disabled": False}}


def away() -> NoReturn:
    raise Unavailable("the store is away")


@pytest.fixture
def services(engine: Engine) -> Services:
    clock, access = Clock(), access_of(engine, logins_per_minute=10_000)
    return Services(
        inventory=Inventory(engine),
        agents=Agents(engine),
        enrolment=enrolment_of(engine),
        access=access,
        commands=commands_of(engine, access),
        telemetry=away,
        reader=away,
        version="0.1.0",
        started=clock.now(),
    )


@pytest.fixture
def app(services: Services) -> Flask:
    return create_app(services)


def ask(http: FlaskClient, route: str, headers: dict[str, str]) -> int:
    method, _, path = route.partition(" ")
    url = re.sub(r"\{\w+\}", "nobody", path)
    body = BODIES.get(route, {}) if method in ("POST", "PATCH", "PUT") else None
    return http.open(url, method=method, json=body, headers=headers).status_code


def may(need: str | Permission, role: Role, within: str, *, by_token: bool) -> bool:
    """What the table says that a user with this grant may."""
    is_admin = role is Role.ADMIN and within == "fleet"
    if need is ADMINISTER:
        return is_admin
    if need in (POWER, MANAGE):
        return need in role.permissions
    if need == ADMIN_PERSON:
        return is_admin and not by_token
    if need == PERSON:
        return not by_token
    return is_admin or not by_token if need == ITSELF else True


def test_no_route_is_forgotten(app: Flask) -> None:
    named = re.compile(r"<(?:path:)?(\w+)>")
    routes = {
        " ".join((method, named.sub(r"{\1}", rule.rule)))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == set(ROUTES)


@pytest.mark.parametrize("within", SCOPES)
@pytest.mark.parametrize("role", Role)
def test_every_role_may_what_the_table_says(
    app: Flask, engine: Engine, role: Role, within: str
) -> None:
    http = app.test_client()
    for by_token, credential in ((True, signed_in), (False, logged_in)):
        headers = {route: credential(engine, role, within) for route in ROUTES}
        allowed = {route for route in ROUTES if ask(http, route, headers[route]) not in (401, 403)}
        assert allowed == {
            route for route, need in ROUTES.items() if may(need, role, within, by_token=by_token)
        }


def test_who_is_nobody_sees_and_does_nothing(app: Flask) -> None:
    http = app.test_client()
    allowed = {route for route in ROUTES if ask(http, route, {}) != 401}
    assert allowed == {route for route, need in ROUTES.items() if need in (ANYBODY, LET_IN, READ)}


def credentials(engine: Engine) -> Iterator[dict[str, str]]:
    yield {"Authorization": f"Bearer nct_{'a' * 43}"}
    yield {"Authorization": "Basic cm9vdDpyb290"}
    revoked = signed_in(engine, Role.ADMIN)
    access = access_of(engine)
    access.tokens.revoke(access.tokens.all()[0].id, access.caller(revoked["Authorization"], ""))
    yield revoked


def test_a_credential_that_does_not_hold_opens_no_route(app: Flask, engine: Engine) -> None:
    http = app.test_client()
    for headers in credentials(engine):
        opened = {route for route in ROUTES if ask(http, route, headers) != 401}
        # A wrong password is 401, too: an empty body of /v1/sessions is 400.
        assert opened == {route for route, need in ROUTES.items() if need == ANYBODY}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_other_methods_are_asked_the_same(app: Flask, method: str) -> None:
    http, wrong = app.test_client(), {"Authorization": "Bearer nct_wrong"}
    answer = http.open("/v1/users", method=method, headers=wrong)
    assert answer.status_code == 401


def test_there_is_no_app_with_a_route_that_says_nothing(services: Services) -> None:
    app, bp = Flask("test", static_folder=None), Blueprint("forgotten", __name__)

    @bp.get("/forgotten")
    def forgotten() -> str:
        return "secret"

    app.register_blueprint(bp)
    with pytest.raises(TypeError, match="/forgotten: say what it needs"):
        guard(app, services.access)


def test_a_route_that_comes_later_and_says_nothing_answers_nothing(services: Services) -> None:
    app = create_app(services)
    app.add_url_rule("/late", "late", lambda: "secret")
    answer = app.test_client().get("/late")
    assert (answer.status_code, "secret" in answer.text) == (403, False)


@pytest.mark.parametrize(
    ("role", "within", "status"),
    [(Role.VIEWER, "fleet", 403), (Role.OPERATOR, "host:h1", 204), (Role.ADMIN, "tag:a=b", 204)],
)
def test_a_route_of_some_scope_lets_in_whoever_has_the_right_within_one(
    services: Services, engine: Engine, role: Role, within: str, status: int
) -> None:
    app, bp = create_app(services), Blueprint("power", __name__)

    @bp.get("/power")
    @needs(Permission.VM_POWER, somewhere=True)
    def power() -> tuple[str, int]:
        return "", 204

    @bp.get("/open")
    @public
    def everybody() -> tuple[str, int]:
        return "", 204

    app.register_blueprint(bp)
    http = app.test_client()
    assert http.get("/power", headers=signed_in(engine, role, within)).status_code == status
    assert http.get("/open").status_code == 204
