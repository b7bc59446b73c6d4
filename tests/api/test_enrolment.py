"""Identities, join tokens and ingest tokens, as an admin has them in hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from sqlalchemy import Engine

from command_world import commands_of
from enrolments import PIN, enrolment_of
from novacron_collector.api.app import create_app
from novacron_collector.api.services import Services
from novacron_contract.access import SYSTEM, Role
from novacron_contract.errors import Unavailable
from novacron_store.state import Agents, Audit, Caller, Inventory
from novacron_store.state.audit import Wanted
from novacron_store.state.credentials import digest, has_form
from novacron_store.state.identities import Certificate, Identities, Identity, Standing
from novacron_store.state.ingest_tokens import IngestTokens
from novacron_store.state.join_tokens import JoinTokens
from principals import access_of, signed_in

NOW = datetime.now(UTC)
Ask = Callable[..., Any]


@pytest.fixture
def http(engine: Engine) -> FlaskClient:
    def away() -> Any:
        raise Unavailable("the store is away")

    access = access_of(engine)
    services = Services(
        inventory=Inventory(engine),
        agents=Agents(engine),
        access=access,
        commands=commands_of(engine, access),
        enrolment=enrolment_of(engine),
        telemetry=away,
        reader=away,
        version="0.1.0",
        started=NOW,
    )
    return create_app(services).test_client()


@pytest.fixture
def ask(http: FlaskClient, engine: Engine) -> Ask:
    """As an admin; what is answered is as the OpenAPI document says."""
    admin = signed_in(engine, Role.ADMIN)
    document = http.get("/v1/openapi.json").json
    assert document is not None
    resource = DRAFT202012.create_resource(document)
    registry: Registry[Any] = Registry().with_resource("urn:api", resource)

    def asked(method: str, path: str, status: int = 200, body: Any = None, route: str = "") -> Any:
        answer = http.open(path, method=method, json=body, headers=admin)
        assert answer.status_code == status, answer.text
        code = str(status) if status < 300 else "default"
        steps = [route or path, method.lower(), "responses", code, "content", "application/json"]
        pointer = "/".join(step.replace("/", "~1") for step in ["paths", *steps, "schema"])
        schema = {"$ref": f"urn:api#/{pointer}"}
        Draft202012Validator(schema, registry=registry, format_checker=FormatChecker()).validate(
            answer.json
        )
        return answer.json

    return asked


def joined(engine: Engine) -> str:
    tokens, later = JoinTokens(engine), NOW + timedelta(hours=1)
    token, secret = tokens.create("lab", Caller(SYSTEM), NOW, later, 1)
    agent_id = "00000000-0000-4000-8000-000000000001"
    identity = Identity(
        agent_id=agent_id,
        host_id="h-1",
        name="kvm-7",
        version="0.1.0",
        standing=Standing.ACTIVE,
        reason="",
        joined=NOW,
        joined_by=token.id,
        joined_from="192.0.2.7",
        ended=None,
    )
    certificate = Certificate("5a", agent_id, NOW, None, later)
    Identities(engine).join(identity, certificate, digest(secret))
    return agent_id


def actions(engine: Engine) -> list[str]:
    return [row.action for row in Audit(engine).rows(Wanted())][::-1]


def test_an_admin_sees_renames_and_revokes_an_agent(ask: Ask, engine: Engine) -> None:
    agent_id = joined(engine)
    path, route = f"/v1/identities/{agent_id}", "/v1/identities/{agent_id}"
    assert [one["name"] for one in ask("GET", "/v1/identities")["identities"]] == ["kvm-7"]
    assert ask("GET", path, route=route)["certificates"][0]["serial"] == "5a"
    assert ask("PATCH", path, body={"name": "db-7"}, route=route)["name"] == "db-7"
    revoked = ask("POST", f"{path}/revoke", body={"reason": "sold"}, route=f"{route}/revoke")
    assert (revoked["standing"], revoked["reason"]) == ("revoked", "sold")
    assert actions(engine)[-2:] == ["agent.rename", "agent.revoke"]
    assert Audit(engine).rows(Wanted(action="agent.revoke"))[0].reason == "sold"
    again = ask("POST", f"{path}/revoke", 409, {}, f"{route}/revoke")
    assert again["message"] == f"the agent {agent_id} is revoked already"


def test_an_agent_that_never_joined_is_not_found(ask: Ask) -> None:
    route = "/v1/identities/{agent_id}"
    ask("GET", "/v1/identities/nobody", 404, route=route)
    ask("PATCH", "/v1/identities/nobody", 404, {"name": "x"}, route)
    ask("POST", "/v1/identities/nobody/revoke", 404, {}, f"{route}/revoke")


def test_the_line_to_join_by_is_told_once(ask: Ask, engine: Engine) -> None:
    made = ask("POST", "/v1/join-tokens", 201, {"name": "rack 4", "uses": 3})
    url, _, secret = made.pop("line").rpartition(":")
    assert url == f"https://collector.example.com:8441#{PIN}"
    assert has_form(secret, "nvj_")
    assert (made["uses"], made["max_uses"], made["name"]) == (0, 3, "rack 4")
    listed = ask("GET", "/v1/join-tokens")
    assert listed["join_tokens"] == [made]
    assert JoinTokens(engine).check(secret, datetime.now(UTC)).id == made["id"]
    ask("DELETE", f"/v1/join-tokens/{made['id']}", route="/v1/join-tokens/{token_id}")
    assert ask("GET", "/v1/join-tokens")["total"] == 0
    assert actions(engine)[-2:] == ["agent.invite", "join-token.delete"]


def test_the_line_names_an_address_that_the_certificate_has(ask: Ask) -> None:
    line = ask("POST", "/v1/join-tokens", 201, {"address": "[::1]:9441"})["line"]
    assert line.startswith("https://[::1]:9441#")
    told = ask("POST", "/v1/join-tokens", 400, {"address": "elsewhere.example.com:8441"})
    assert "add it to [tls] names of collector.toml" in told["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"uses": 0},
        {"uses": 1.5},
        {"uses": True},
        {"seconds": 0},
        {"seconds": 2_592_001},
        {"seconds": "1h"},
        {"name": 7},
        {"name": "x" * 129},
        {"address": 7},
        {"address": "no port"},
        {"address": "a b:1"},
        {"more": 1},
        [],
        None,
    ],
)
def test_a_wrong_wish_for_a_join_token_is_told(ask: Ask, body: Any) -> None:
    ask("POST", "/v1/join-tokens", 400, body)


def test_an_ingest_token_is_made_listed_and_revoked(ask: Ask, engine: Engine) -> None:
    made = ask("POST", "/v1/ingest-tokens", 201, {"name": "prometheus", "days": 365})
    secret = made.pop("token")
    assert has_form(secret, "nci_")
    assert ask("GET", "/v1/ingest-tokens")["ingest_tokens"] == [made]
    route = "/v1/ingest-tokens/{token_id}"
    assert ask("DELETE", f"/v1/ingest-tokens/{made['id']}", route=route)["revoked"]
    ask("DELETE", f"/v1/ingest-tokens/{made['id']}", 409, route=route)
    ask("DELETE", "/v1/ingest-tokens/none", 404, route=route)
    assert [token.revoked is None for token in IngestTokens(engine).all()] == [False]


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "x", "days": 0}, {"name": "x", "days": True}, {"x": 1}]
)
def test_a_wrong_wish_for_an_ingest_token_is_told(ask: Ask, body: Any) -> None:
    ask("POST", "/v1/ingest-tokens", 400, body)


@pytest.mark.parametrize("body", [{"name": ""}, {"name": "a\nb"}, {}, [], {"name": "x", "y": 1}])
def test_a_wrong_name_is_told(ask: Ask, engine: Engine, body: Any) -> None:
    agent_id = joined(engine)
    ask("PATCH", f"/v1/identities/{agent_id}", 400, body, "/v1/identities/{agent_id}")


def test_a_wrong_reason_is_told(ask: Ask, engine: Engine) -> None:
    path, route = f"/v1/identities/{joined(engine)}/revoke", "/v1/identities/{agent_id}/revoke"
    for body in ({"reason": 7}, {"reason": "x" * 513}, {"why": ""}):
        ask("POST", path, 400, body, route)
