"""A person's own SQL over REST."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from flask.testing import FlaskClient

from api.answers import json_of
from fleet_samples import SampleFleet
from free_ports import free_port
from novacron_store.telemetry.client import connect

pytestmark = pytest.mark.parametrize("state_kind", ["sqlite"])  # no matter here


def run(http: FlaskClient, query: str, status: int = 200, **parameters: Any) -> Any:
    body = {"query": query, "parameters": parameters}
    return json_of(http.post("/v1/sql", json=body), status)


def test_rows_come_with_their_columns(http: FlaskClient) -> None:
    assert run(http, "SELECT 1 AS one, 'x' AS name, NULL AS nothing") == {
        "columns": [
            {"name": "one", "type": "UInt8"},
            {"name": "name", "type": "String"},
            {"name": "nothing", "type": "Nullable(Nothing)"},
        ],
        "rows": [[1, "x", None]],
    }


def test_parameters_are_values_never_text(http: FlaskClient, fleet: SampleFleet) -> None:
    query = "SELECT count() FROM samples WHERE entity = {vm:String} AND metric = {metric:String}"
    assert run(http, query, vm=fleet.web, metric="vm.state")["rows"] == [[60]]
    assert run(http, query, vm="' OR 1 = 1 --", metric="x%s")["rows"] == [[0]]


def test_large_integers_are_exact(http: FlaskClient) -> None:
    assert run(http, "SELECT toUInt64(18446744073709551615)")["rows"] == [[18446744073709551615]]


def test_trailing_semicolon_and_comment_are_fine(http: FlaskClient) -> None:
    assert run(http, "SELECT 1;\n")["rows"] == [[1]]
    assert run(http, "SELECT 1 -- one")["rows"] == [[1]]


@pytest.mark.parametrize(
    ("form", "expected"), [("csv", '"n","s"\n0,"a"\n'), ("tsv", "n\ts\n0\ta\n")]
)
def test_other_forms(http: FlaskClient, form: str, expected: str) -> None:
    query = {"query": "SELECT number AS n, 'a' AS s FROM numbers(1)"}
    assert http.post(f"/v1/sql?format={form}", json=query).text == expected


def test_arrow_form_is_a_table(http: FlaskClient) -> None:
    query = {"query": "SELECT number AS n FROM numbers(3)"}
    answer = http.post("/v1/sql?format=arrow", json=query)
    table = pa.ipc.open_stream(io.BytesIO(answer.data)).read_all()
    assert table.to_pydict() == {"n": [0, 1, 2]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "expected JSON such as"),
        ({}, "expected JSON such as"),
        ({"query": 1}, "expected JSON such as"),
        ({"query": "SELECT 1", "user": "service"}, "expected JSON such as"),
        ({"query": "  "}, "query: empty"),
        ({"query": "x" * 100_001}, "query: longer than 100000 characters"),
        ({"query": "SELECT 1", "parameters": []}, "parameters: expected an object"),
        ({"query": "SELECT 1", "parameters": {"a": {}}}, "parameters: expected an object"),
        ({"query": "SELECT 1", "parameters": {"a": 1}}, "no placeholder {name:Type} for a"),
        ({"query": "SELECT {a:UInt8}", "parameters": {"a": "many"}}, "cannot be parsed as UInt8"),
        ({"query": "SELECT {a:UInt8}"}, "a"),
        ({"query": "SELEKT 1"}, "Syntax error"),
        ({"query": "SELECT nothing FROM samples"}, "nothing"),
    ],
)
def test_wrong_statement_is_explained(http: FlaskClient, body: Any, message: str) -> None:
    answer = json_of(http.post("/v1/sql", json=body), 400)
    assert answer["error"] == "BadMessage"
    assert message in answer["message"]


def test_reader_may_not_write(http: FlaskClient) -> None:
    assert run(http, "DROP TABLE data_windows", 403)["error"] == "Refused"
    assert run(http, "SELECT count() > 0 FROM samples")["rows"] == [[1]]


def test_too_many_rows_is_over_a_limit(http: FlaskClient) -> None:
    assert run(http, "SELECT number FROM numbers(5000)", 413)["error"] == "TooLarge"


def test_form_of_a_web_page_elsewhere_is_refused(http: FlaskClient) -> None:
    answer = http.post("/v1/sql", data='{"query": "SELECT 1"}', content_type="text/plain")
    assert answer.status_code == 400


def test_body_beyond_the_limit_is_refused(http: FlaskClient) -> None:
    answer = http.post("/v1/sql", data=b"x" * 1_100_000, content_type="application/json")
    assert json_of(answer, 413)["error"] == "RequestEntityTooLarge"


def test_store_that_is_away_is_unavailable(http_with: Callable[..., FlaskClient]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    answer = http_with(reader=lambda: connect(url)).post("/v1/sql", json={"query": "SELECT 1"})
    assert json_of(answer, 503)["error"] == "Unavailable"
    assert answer.headers["Retry-After"] == "5"
