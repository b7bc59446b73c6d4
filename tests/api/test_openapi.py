"""The OpenAPI document: valid, complete, and true."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from api.answers import get, json_of
from fleet_samples import SampleFleet
from novacron_collector.api.app import create_app
from novacron_collector.api.services import Services
from novacron_contract.access import Role
from principals import logged_in

pytestmark = pytest.mark.parametrize("state_kind", ["sqlite"])  # no matter here

URLS = {
    "/healthz": "/healthz",
    "/readyz": "/readyz",
    "/v1/openapi.json": "/v1/openapi.json",
    "/v1/status": "/v1/status",
    "/v1/hosts": "/v1/hosts",
    "/v1/hosts/{id_or_name}": "/v1/hosts/kvm-a",
    "/v1/vms": "/v1/vms",
    "/v1/vms/{id_or_name}": "/v1/vms/web-1",
    "/v1/vm-spec": "/v1/vm-spec",
    "/v1/agents": "/v1/agents",
    "/v1/metrics": "/v1/metrics",
    "/v1/query": "/v1/query?metric=vm.network.io&entity=web-1",
    "/v1/operations": "/v1/operations",
    "/v1/commands": "/v1/commands",
    "/v1/verbs": "/v1/verbs",
    "/v1/brake": "/v1/brake",
    "/v1/schedules": "/v1/schedules",
}
ADMIN_URLS = {
    "/v1/self": "/v1/self",
    "/v1/users": "/v1/users",
    "/v1/users/{name}": "/v1/users/bob",
    "/v1/tokens": "/v1/tokens",
    "/v1/audit": "/v1/audit",
    "/v1/audit/verify": "/v1/audit/verify",
}
# What changes something, as an admin does it; in this order.
PASSWORD = "correct horse battery"
BOB: dict[str, Any] = {"name": "bob", "password": PASSWORD, "grants": [{"role": "viewer"}]}
CHANGES: dict[tuple[str, str], tuple[str, dict[str, Any] | None, int]] = {
    ("/v1/users", "post"): ("/v1/users", BOB, 201),
    ("/v1/sessions", "post"): ("/v1/sessions", {"name": "bob", "password": PASSWORD}, 201),
    ("/v1/tokens", "post"): ("/v1/tokens", {"name": "ci", "grants": BOB["grants"]}, 201),
    ("/v1/tokens/{token_id}", "delete"): ("/v1/tokens/TOKEN", None, 200),
    ("/v1/users/{name}", "patch"): ("/v1/users/bob?reason=left", {"disabled": True}, 200),
    ("/v1/users/{name}", "delete"): ("/v1/users/bob", None, 200),
    ("/v1/sessions", "delete"): ("/v1/sessions", None, 200),
}
# Agents, join tokens and ingest tokens: test_enrolment.py holds each answer against the document.
ENROLMENT = {
    ("/v1/identities", "get"),
    ("/v1/identities/{agent_id}", "get"),
    ("/v1/identities/{agent_id}", "patch"),
    ("/v1/identities/{agent_id}/revoke", "post"),
    ("/v1/join-tokens", "get"),
    ("/v1/join-tokens", "post"),
    ("/v1/join-tokens/{token_id}", "delete"),
    ("/v1/ingest-tokens", "get"),
    ("/v1/ingest-tokens", "post"),
    ("/v1/ingest-tokens/{token_id}", "delete"),
}
# Operations, commands and schedules: test_operations.py does; new VMs: test_creation.py.
COMMANDS = {
    ("/v1/vms", "post"),
    ("/v1/operations", "post"),
    ("/v1/operations/{operation_id}", "get"),
    ("/v1/operations/{operation_id}/cancel", "post"),
    ("/v1/commands/{command_id}", "get"),
    ("/v1/brake", "put"),
    ("/v1/schedules", "post"),
    ("/v1/schedules/{schedule_id}", "get"),
    ("/v1/schedules/{schedule_id}", "patch"),
    ("/v1/schedules/{schedule_id}", "delete"),
}
FILES = {"/v1/export": "/v1/export?metric=vm.cpu.utilization"}  # no JSON; test_export.py has more
POSTED: dict[str, dict[str, Any]] = {
    "/v1/series": {"expression": {"select": "vm.cpu.utilization"}, "explain": True},
    "/v1/sql": {"query": "SELECT 1 AS a"},
}


def schema_errors(
    document: dict[str, Any], path: str, answer: Any, status: str, method: str = ""
) -> list[str]:
    method = method or ("post" if path in POSTED else "get")
    steps = ["paths", path, method, "responses", status, "content", "application/json", "schema"]
    pointer = "/".join(step.replace("/", "~1") for step in steps)
    resource = DRAFT202012.create_resource(document)
    registry: Registry[Any] = Registry().with_resource("urn:api", resource)
    schema = {"$ref": f"urn:api#/{pointer}"}
    validator = Draft202012Validator(schema, registry=registry, format_checker=FormatChecker())
    return [error.message for error in validator.iter_errors(answer)]


def test_document_is_openapi(http: FlaskClient) -> None:
    validate(get(http, "/v1/openapi.json"))


def test_every_route_is_in_it_and_no_other(filled: Services) -> None:
    app = create_app(filled)
    routes = {
        (re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    paths = get(app.test_client(), "/v1/openapi.json")["paths"]
    described = {
        (path, method) for path in paths for method in paths[path] if method != "parameters"
    }
    gets, posts = [*URLS, *ADMIN_URLS, *FILES], POSTED
    expected = {*((path, "get") for path in gets), *((path, "post") for path in posts)}
    assert described == routes == expected | set(CHANGES) | ENROLMENT | COMMANDS


@pytest.mark.parametrize("path", [*URLS, *POSTED])
def test_answers_are_as_described(http: FlaskClient, fleet: SampleFleet, path: str) -> None:
    document = get(http, "/v1/openapi.json")
    posted = POSTED.get(path)
    answer = http.post(path, json=posted) if posted else http.get(URLS[path])
    assert schema_errors(document, path, json_of(answer), "200") == []


@pytest.mark.parametrize("disabled", [False, True])
def test_answers_to_an_admin_are_as_described(
    http: FlaskClient, filled: Services, disabled: bool
) -> None:
    document = get(http, "/v1/openapi.json")
    headers = logged_in(filled.access.users.engine, Role.ADMIN)
    json_of(http.post("/v1/users", json=BOB, headers=headers), 201)
    json_of(http.post("/v1/tokens", json={"name": "x", "days": 1}, headers=headers), 201)
    json_of(http.patch("/v1/users/bob", json={"disabled": disabled}, headers=headers))
    json_of(http.post("/v1/sessions", json=BOB | {"grants": []}), 400)
    for path, url in ADMIN_URLS.items():
        answer = json_of(http.get(url, headers=headers))
        assert schema_errors(document, path, answer, "200") == []


def test_answers_to_changes_are_as_described(http: FlaskClient, filled: Services) -> None:
    document = get(http, "/v1/openapi.json")
    headers = logged_in(filled.access.users.engine, Role.ADMIN)
    made = ""
    for (path, method), (url, body, status) in CHANGES.items():
        asked = url.replace("TOKEN", made)
        answer = json_of(http.open(asked, method=method, json=body, headers=headers), status)
        assert schema_errors(document, path, answer, str(status), method) == []
        made = answer.get("id", made)


def test_who_may_is_described(http: FlaskClient) -> None:
    document = get(http, "/v1/openapi.json")
    anybody = {
        (path, method)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and http.open(path, method=method, json={}).status_code == 401
    }
    described = {
        (path, method)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and operation["security"] == [{"bearer": []}]
    }
    assert anybody == described


def test_thinned_lines_are_as_described(http: FlaskClient) -> None:
    document = get(http, "/v1/openapi.json")
    answer = json_of(http.post("/v1/series", json={**POSTED["/v1/series"], "pixels": 20}))
    assert schema_errors(document, "/v1/series", answer, "200") == []


@pytest.mark.parametrize("asked", [{}, {"pixels": 20}])
def test_defaults_of_a_question_are_what_it_gets_without_them(
    http: FlaskClient, asked: dict[str, Any]
) -> None:
    question = get(http, "/v1/openapi.json")["components"]["schemas"]["Question"]["properties"]
    defaults = {name: of["default"] for name, of in question.items() if "default" in of}
    body = {"expression": {"select": "vm.cpu.utilization"}, **asked}

    answers = [json_of(http.post("/v1/series", json=body | more)) for more in ({}, defaults)]

    assert set(defaults) >= {"from", "to", "explain"}
    assert answers[0] == answers[1]


@pytest.mark.parametrize("path", FILES)
def test_files_are_as_described(http: FlaskClient, path: str) -> None:
    content = get(http, "/v1/openapi.json")["paths"][path]["get"]["responses"]["200"]["content"]
    answers = [http.get(f"{FILES[path]}&format={form}") for form in ("parquet", "arrow", "csv")]
    assert [answer.mimetype for answer in answers] == list(content)


@pytest.mark.parametrize("path", [path for path in [*URLS, *FILES] if path.startswith("/v1/")])
def test_errors_are_as_described_and_unknown_parameters_refused(
    http: FlaskClient, path: str
) -> None:
    document = get(http, "/v1/openapi.json")
    url = f"{(URLS | FILES)[path].split('?')[0]}?unheard=1"
    answer = http.post(url, json={}) if path == "/v1/sql" else http.get(url)
    assert schema_errors(document, path, json_of(answer, 400), "default") == []


def test_validator_would_notice_a_wrong_answer(http: FlaskClient) -> None:
    document = get(http, "/v1/openapi.json")
    answer = get(http, "/v1/vms")
    answer["vms"][0]["state"] = "dancing"
    assert schema_errors(document, "/v1/vms", answer, "200")
    assert schema_errors(document, "/v1/vms", {**answer, "more": 1}, "200")
