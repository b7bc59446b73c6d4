"""Charts and the catalog over REST."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from api.answers import get
from fleet_samples import SampleFleet

pytestmark = pytest.mark.parametrize("state_kind", ["sqlite"])  # no matter here


def chart(http: FlaskClient, query: str, status: int = 200) -> Any:
    return get(http, f"/v1/query?{query}", status)


def test_gauge_is_its_value(http: FlaskClient, fleet: SampleFleet) -> None:
    answer = chart(http, f"metric=vm.cpu.utilization&entity={fleet.web}")
    assert (answer["metric"], answer["kind"], answer["unit"]) == (
        "vm.cpu.utilization",
        "gauge",
        "1",
    )
    (line,) = answer["lines"]
    assert {value for value in line["values"] if value is not None} == {0.5}


def test_counter_is_its_rate_per_series(http: FlaskClient) -> None:
    answer = chart(http, "metric=vm.network.io&entity=web-1&from=-5m")
    rates = {
        line["attributes"]["network.io.direction"]: max(filter(None, line["values"]))
        for line in answer["lines"]
    }
    assert rates == pytest.approx({"receive": 1000.0, "transmit": 500.0})


def test_filter_chooses_the_series(http: FlaskClient) -> None:
    answer = chart(http, "metric=vm.network.io&entity=web-1&filter.network.io.direction=receive")
    assert [line["attributes"]["network.io.direction"] for line in answer["lines"]] == ["receive"]


def test_absolute_times_and_points_are_respected(http: FlaskClient, fleet: SampleFleet) -> None:
    start = f"{fleet.now.replace(tzinfo=None).isoformat()}Z"
    answer = chart(
        http, f"metric=vm.cpu.utilization&entity=web-1&from=-10m&to={start}&max_points=5"
    )
    (line,) = answer["lines"]
    assert len(line["ts"]) <= 5
    assert answer["to"] == start


def test_entity_that_is_no_machine_is_asked_as_it_is(http: FlaskClient) -> None:
    assert chart(http, "metric=vm.cpu.utilization&entity=shop/cart/1")["lines"] == []


def test_unknown_metric_is_not_found(http: FlaskClient) -> None:
    assert chart(http, "metric=no.such&entity=web-1", 404)["error"] == "NotFound"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("entity=web-1", "metric: missing"),
        ("metric=vm.cpu.utilization", "entity: missing"),
        ("metric=m&entity=e&from=yesterday", "from: expected a time such as"),
        ("metric=m&entity=e&from=2026-11-24", "from: expected a time such as"),
        ("metric=m&entity=e&from=2026-11-24T10:00:00", "from: expected a time such as"),
        ("metric=m&entity=e&from=-999999999w", "from: too long ago"),
        ("metric=m&entity=e&from=now&to=-1h", "from: must be before `to`"),
        ("metric=m&entity=e&max_points=1", "max_points: expected 2 to 5000"),
        ("metric=m&entity=e&max_points=1e3", "max_points: expected 2 to 5000"),
        ("metric=m&entity=e&aggregate=median", "aggregate: expected one of avg, min, max"),
        ("metric=m&entity=e&colour=red", "colour: unknown; allowed: aggregate, entity, from"),
        ("metric=m&entity=e&entity=f", "entity: given 2 times"),
        (f"metric={'m' * 600}&entity=e", "metric: longer than 512 characters"),
        ("metric=m&entity=e" + "".join(f"&filter.a{n}=1" for n in range(21)), "at most 20 filters"),
    ],
)
def test_wrong_question_is_explained(http: FlaskClient, query: str, message: str) -> None:
    answer = chart(http, query, 400)
    assert answer["error"] == "BadMessage"
    assert message in answer["message"]


def test_catalog_lists_the_metrics(http: FlaskClient) -> None:
    metrics = {metric["metric"]: metric for metric in get(http, "/v1/metrics")["metrics"]}
    assert metrics["vm.network.io"]["unit"] == "By"
    assert metrics["vm.network.io"]["monotonic"] is True
