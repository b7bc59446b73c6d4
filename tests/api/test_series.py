"""Expressions over series, over REST."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from flask.testing import FlaskClient

from api.answers import json_of
from fleet_samples import SampleFleet
from novacron_store.telemetry.writer import write
from store.histograms_oracle import Histogram, Told, batch

pytestmark = [
    pytest.mark.parametrize("state_kind", ["sqlite"]),  # no matter here
    pytest.mark.usefixtures("histogram"),
]

DOCS = (Path(__file__).parents[2] / "docs" / "query.md").read_text()
DURATION = "http.server.request.duration"
RATE = {"select": "vm.network.io", "over": "rate", "window": 300}
RECEIVED = {"label": "network.io.direction", "value": "receive"}


@pytest.fixture(scope="session")
def histogram(telemetry: Client, fleet: SampleFleet) -> str:
    """A metric of `web` and `db`: every minute they measured ten times 0.3, or 3, more."""
    now, bounds = fleet.now.timestamp(), (0.1, 0.5, 1.0, 5.0)

    def told(value: float) -> list[Told]:
        return [
            Told(now - 60 * (10 - n), now - 600, [value] * 10 * n, bounds) for n in range(1, 11)
        ]

    series = [
        Histogram(DURATION, entity, told(value), attributes={"http.route": "/api/x"})
        for entity, value in ((fleet.web, 0.3), (fleet.db, 3.0))
    ]  # fmt: skip
    write(telemetry, batch(series), fleet.host_a)
    return DURATION


def ask(http: FlaskClient, expression: Any, status: int = 200, **more: Any) -> Any:
    body = {"expression": expression, "from": "-10m", **more}
    return json_of(http.post("/v1/series", json=body), status)


def test_every_series_has_its_labels_and_a_value_for_each_time(
    http: FlaskClient, fleet: SampleFleet
) -> None:
    answer = ask(http, {"select": "vm.cpu.utilization"}, step=60)

    lines = {line["labels"]["entity"]: line["values"] for line in answer["series"]}
    assert {fleet.web, fleet.db} <= lines.keys()
    assert set(lines[fleet.web]) == {0.5} | ({None} if None in lines[fleet.web] else set())
    assert all(len(values) == len(answer["times"]) for values in lines.values())
    assert (answer["step_s"], answer["resolution"]) == (60, "raw")
    assert all(time % 60_000 == 0 for time in answer["times"])


def test_series_are_chosen_and_put_together_by_their_labels(http: FlaskClient) -> None:
    select = RATE | {"where": {"all": [RECEIVED, {"not": {"label": "vm.name", "op": "=~",
                                                          "value": "idle.*"}}]}}  # fmt: skip

    answer = ask(http, {"aggregate": "sum", "of": select, "by": ["network.io.direction"]}, step=60)

    (line,) = answer["series"]
    assert line["labels"] == {"network.io.direction": "receive"}
    assert max(filter(None, line["values"])) > 0


def test_quantiles_of_histograms_are_those_of_all_that_was_measured(
    http: FlaskClient, fleet: SampleFleet
) -> None:
    median = {"histogram_quantile": 0.5, "select": DURATION, "window": 300}

    (every,) = ask(http, {**median, "histogram_quantile": 0.75}, step=60)["series"]
    each = ask(http, {**median, "by": ["entity"]}, step=60)
    where = {"label": "entity", "value": fleet.web}
    (web,) = ask(http, {"op": "*", "left": {**median, "where": where}, "right": 10})["series"]

    assert (every["labels"], set(filter(None, every["values"]))) == ({}, {3.0})
    assert {line["labels"]["entity"]: line["values"][-1] for line in each["series"]} == {
        fleet.web: pytest.approx(0.3), fleet.db: 3.0
    }  # fmt: skip
    assert each["resolution"] == "raw"
    assert web["values"][-1] == pytest.approx(3)


def test_arithmetic_of_expressions(http: FlaskClient, fleet: SampleFleet) -> None:
    share = {"op": "*", "left": {"select": "vm.cpu.utilization", "where": {
        "label": "entity", "value": fleet.web}}, "right": 100}  # fmt: skip

    (line,) = ask(http, {"smooth": 2, "of": share}, step=60)["series"]

    assert set(filter(None, line["values"])) == {50.0}


def test_the_step_is_handy_where_none_is_asked_for(http: FlaskClient) -> None:
    assert ask(http, {"select": "vm.cpu.utilization"}, points=40)["step_s"] == 15
    assert ask(http, {"select": "vm.cpu.utilization"}, points=2)["step_s"] == 300


def test_how_it_was_asked_is_told_on_request(http: FlaskClient) -> None:
    assert "asked" not in ask(http, {"select": "vm.cpu.utilization"})

    asked = ask(http, {"select": "vm.cpu.utilization"}, explain=True)["asked"]

    assert all(one["sql"].startswith("SELECT") and one["seconds"] > 0 for one in asked)
    assert sum(one["rows"] for one in asked) > 0


def test_an_answer_comes_as_arrow(http: FlaskClient) -> None:
    body = {"expression": {"select": "vm.cpu.utilization"}, "from": "-10m", "step": 60}

    answer = http.post("/v1/series?format=arrow", json=body)

    table = pa.ipc.open_stream(answer.data).read_all()
    assert table.column_names == ["labels", "times", "values"]
    assert table.num_rows >= 2


def test_lines_to_draw_have_no_more_values_than_pixels(
    http: FlaskClient, fleet: SampleFleet
) -> None:
    answer = ask(http, {"select": "vm.cpu.utilization"}, step=10, pixels=20)

    assert "times" not in answer
    lines = {line["labels"]["entity"]: line for line in answer["series"]}
    web = lines[fleet.web]
    assert len(web["times"]) == len(web["values"])
    assert [value for value in web["values"] if value is not None] == [0.5] * 20
    newest = fleet.now.timestamp() * 1000
    assert web["times"] == sorted(web["times"])
    assert newest - 600_000 <= web["times"][0] <= newest - 580_000
    assert newest - 20_000 <= web["times"][-1] <= newest


def test_values_with_a_gap_between_them_are_drawn_apart(
    http: FlaskClient, fleet: SampleFleet
) -> None:
    web = {"select": "vm.cpu.utilization", "where": {"label": "entity", "value": fleet.web}}

    (line,) = ask(http, web, step=5, pixels=20)["series"]

    assert line["values"] == [0.5, *[None, 0.5] * 19]


def test_lines_to_draw_come_as_arrow(http: FlaskClient) -> None:
    body = {"expression": {"select": "vm.cpu.utilization"}, "from": "-10m", "step": 5, "pixels": 9}

    answer = http.post("/v1/series?format=arrow", json=body)

    table = pa.ipc.open_stream(answer.data).read_all()
    assert table.column_names == ["labels", "times", "values"]
    for times, values in zip(table["times"].to_pylist(), table["values"].to_pylist(), strict=True):
        assert len(times) == len(values)
        assert sum(value is not None for value in values) == 9
        assert sum(value is None for value in values) == 8


@pytest.mark.parametrize(
    ("asked", "step"),
    [
        ({"from": "-1d", "pixels": 800}, 30),  # four windows for a pixel
        ({"from": "-1d"}, 300),
        ({"from": "-7d", "pixels": 10_000}, 60),  # the builder's limit of points
        ({"from": "-10m", "pixels": 800}, 10),  # agents send no oftener
        ({"from": "-4s", "pixels": 800}, 4),
        ({"from": "-1d", "pixels": 800, "points": 500}, 300),
        ({"from": "-1d", "pixels": 800, "step": 3600}, 3600),
    ],
)
def test_what_is_drawn_is_read_at_a_finer_step(
    http: FlaskClient, asked: dict[str, Any], step: float
) -> None:
    assert ask(http, {"select": "vm.cpu.utilization"}, **asked)["step_s"] == step


@pytest.mark.parametrize(
    ("expression", "more", "words"),
    [
        ({"select": 1}, {}, "expected an expression"),
        ({"select": "m", "over": "median"}, {}, "over: expected one of avg, min"),
        ({"select": "m", "were": {}}, {}, "were: unknown; allowed: over, where"),
        ({"select": "m", "where": {"label": "x"}}, {}, "expected a condition"),
        (
            {"select": "m", "where": {"label": "x", "op": "<", "value": "y"}},
            {},
            "expected one of =",
        ),
        ({"histogram_quantile": "p95", "select": "m"}, {}, "histogram_quantile: expected a number"),
        ({"histogram_quantile": 95, "select": "m"}, {}, "a quantile of 95.0: expected 0 to 1"),
        (
            {"histogram_quantile": 0.5, "select": "m", "over": "avg"},
            {},
            "over: unknown; allowed: by",
        ),
        (
            {"histogram_quantile": 0.5, "select": "vm.state"},
            {},
            "vm.state is a gauge, no histogram",
        ),
        ({"select": DURATION}, {}, "ask for its histogram_quantile"),
        ({"select": "m", "window": "5m"}, {}, "window: expected a number"),
        ({"select": "m", "window": -5}, {}, "a window of -5.0 s"),
        ({"aggregate": "sum", "of": {"select": "m"}, "by": "team"}, {}, "by: expected a list"),
        ({"aggregate": "top", "of": {"select": "m"}, "argument": 0}, {}, "top 0.0: expected 1"),
        ({"smooth": 0, "of": {"select": "m"}}, {}, "a mean of 0 points"),
        ({"op": "^", "left": 1, "right": 2}, {}, "'^': expected one of + - * /"),
        ({"select": "m"}, {"step": "60"}, "step: expected seconds"),
        ({"select": "m"}, {"points": 0}, "points: expected 1 to 5000"),
        ({"select": "m"}, {"pixels": 1}, "pixels: expected 2 to 10000"),
        ({"select": "m"}, {"pixels": 10_001}, "pixels: expected 2 to 10000"),
        ({"select": "m"}, {"pixels": 80.5}, "pixels: expected 2 to 10000"),
        ({"select": "m"}, {"pixels": True}, "pixels: expected 2 to 10000"),
        ({"select": "m"}, {"from": "now"}, "from: must be before `to`"),
        ({"select": "m"}, {"from": 5}, "from: expected a time"),
        ({"select": "m"}, {"explain": 1}, "explain: expected true or false"),
        ({"select": "m"}, {"limit": 1}, "limit: unknown; allowed: expression, from"),
    ],
)
def test_what_is_wrong_is_said(
    http: FlaskClient, expression: Any, more: dict[str, Any], words: str
) -> None:
    answer = ask(http, expression, 400, **more)

    assert answer["error"] == "BadMessage"
    assert words in answer["message"]


def test_expressions_are_not_nested_without_an_end(http: FlaskClient) -> None:
    deep: Any = {"select": "m"}
    for _ in range(50):
        deep = {"smooth": 2, "of": deep}

    assert "nested deeper than 20" in ask(http, deep, 400)["message"]


@pytest.mark.parametrize("body", re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL))
def test_examples_of_the_docs_are_answered(http: FlaskClient, body: str) -> None:
    answer = http.post("/v1/series", data=body, content_type="application/json")

    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    assert len(answer.json.get("times") or answer.json["series"][0]["times"]) >= 1


def test_a_metric_nobody_sent_is_not_found(http: FlaskClient) -> None:
    assert ask(http, {"select": "no.such"}, 404)["error"] == "NotFound"
