"""Tables of metrics, over REST."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from flask.testing import FlaskClient

from api.answers import get, json_of
from fleet_samples import SampleFleet
from free_ports import free_port
from novacron_collector.api.export import MOST_AT_ONCE
from novacron_store.telemetry.client import connect

pytestmark = pytest.mark.parametrize("state_kind", ["sqlite"])  # no matter here

WITHIN_AN_HOUR = (("from", "2026-11-24T12:10:00Z"), ("to", "2026-11-24T12:50:00Z"))


def url_of(*pairs: tuple[str, str], **more: str) -> str:
    return f"/v1/export?{urlencode([*pairs, *more.items()])}"


def table_of(http: FlaskClient, *pairs: tuple[str, str], **more: str) -> pa.Table:
    answer = http.get(url_of(*pairs, **{"from": "-10m", "step": "1m", **more}))
    assert answer.status_code == 200, answer.text
    return pa.parquet.read_table(io.BytesIO(answer.data))


def of_vm(vm: str) -> tuple[str, str]:
    return ("where", f"entity={vm}")


def test_a_parquet_file_has_a_row_for_each_series_and_time(
    http: FlaskClient, fleet: SampleFleet
) -> None:
    table = table_of(http, ("metric", "vm.cpu.utilization"), of_vm(fleet.web))

    frame = table.to_pandas()
    assert list(frame.columns) == ["time", "metric", "entity", "unit", "value", "count"]
    assert len(frame) == 10
    assert set(frame["value"].dropna()) == {0.5}
    assert frame["count"].sum() in range(54, 61)
    assert frame["time"].dt.second.eq(0).all()
    assert str(frame["time"].dtype) == "datetime64[ms, UTC]"
    assert table.schema.metadata[b"novacron.step_s"] == b"60"


def test_all_forms_have_the_same_rows(http: FlaskClient, fleet: SampleFleet) -> None:
    pairs = (("metric", "vm.network.io"), ("metric", "vm.cpu.utilization"), of_vm(fleet.db))
    times = {"from": "-10m", "step": "1m"}
    whole = table_of(http, *pairs)

    arrow = http.get(url_of(*pairs, format="arrow", **times))
    csv = http.get(url_of(*pairs, format="csv", **times))

    assert pa.ipc.open_stream(arrow.data).read_all() == whole
    read = pa.csv.read_csv(io.BytesIO(csv.data))
    assert read.column_names == whole.column_names
    assert read["time"].to_pylist() == whole["time"].to_pylist()
    assert read["value"].to_pylist() == whole["value"].to_pylist()
    assert read["network.io.direction"].to_pylist() == [
        value or "" for value in whole["network.io.direction"].to_pylist()
    ]
    assert csv.text.splitlines()[0] == (
        '"time","metric","entity","network.io.direction","unit","value","count"'
    )


@pytest.mark.parametrize(
    ("form", "content_type"),
    [
        ("parquet", "application/vnd.apache.parquet"),
        ("arrow", "application/vnd.apache.arrow.stream"),
        ("csv", "text/csv; charset=utf-8"),
    ],
)
def test_an_answer_is_a_file_that_says_what_it_has(
    http: FlaskClient, fleet: SampleFleet, form: str, content_type: str
) -> None:
    metric = ("metric", "vm.network.io")
    asked = url_of(metric, of_vm(fleet.web), format=form, step="5m")

    answer = http.get(asked)

    assert answer.headers["Content-Type"] == content_type
    named = f'attachment; filename="novacron-export.{form}"'
    assert answer.headers["Content-Disposition"] == named
    assert (answer.headers["Novacron-Series"], answer.headers["Novacron-Rows"]) == ("2", "24")
    assert answer.headers["Novacron-From"] < answer.headers["Novacron-To"]
    described = get(http, "/v1/openapi.json")["paths"]["/v1/export"]["get"]["responses"]["200"]
    assert content_type.partition(";")[0] in described["content"]
    assert http.head(asked).data == b""


def test_an_empty_table_has_its_columns(http: FlaskClient) -> None:
    pairs = (("metric", "vm.network.io"), ("where", "entity=nobody"))
    assert table_of(http, *pairs).num_rows == 0
    csv = http.get(url_of(*pairs, format="csv"))
    assert csv.text == '"time","metric","entity","unit","value","count"\n'
    assert pa.ipc.open_stream(http.get(url_of(*pairs, format="arrow")).data).read_all() is not None


def test_series_are_chosen_and_tags_get_columns(http: FlaskClient, fleet: SampleFleet) -> None:
    table = table_of(
        http,
        *(("metric", "vm.network.io"), ("where", "network.io.direction!=transmit")),
        *(("where", f"entity=~{fleet.web}|{fleet.db}"), ("tag", "vm.id"), ("tag", "team")),
        over="increase",
    )

    rows = table.to_pylist()
    assert {(row["entity"], row["vm.id"], row["team"]) for row in rows} == {
        (fleet.web, fleet.web, None),
        (fleet.db, fleet.db, None),
    }
    assert {row["network.io.direction"] for row in rows} == {"receive"}
    assert {row["unit"] for row in rows} == {"By"}


def test_samples_come_as_they_were_sent(http: FlaskClient, fleet: SampleFleet) -> None:
    table = table_of(http, ("metric", "vm.cpu.count"), of_vm(fleet.web), step="raw")

    assert "count" not in table.column_names
    assert table["value"].to_pylist() == [2.0] * 60
    assert (table["time"].to_pylist()[-1] - fleet.now).total_seconds() == -10


def test_the_step_is_handy_where_none_is_asked_for(http: FlaskClient) -> None:
    answer = http.get(url_of(("metric", "vm.cpu.utilization"), **{"from": "-1d"}))

    metadata = pa.parquet.read_schema(io.BytesIO(answer.data)).metadata
    assert metadata[b"novacron.step_s"] == b"300"


@pytest.mark.parametrize(
    ("pairs", "status", "words"),
    [
        ([], 400, "metric: missing"),
        ([("metric", "")], 400, "metric: empty"),
        ([("metric", "m")] * 201, 400, "metric: given 201 times, expected 200 or fewer"),
        ([("metric", "m" * 513)], 400, "metric: longer than 512 characters"),
        ([("metric", "no.such")], 404, "no metric 'no.such'"),
        (
            [("step", "soon")],
            400,
            "step: expected a time such as 30s, 5m or 7d, got 'soon', or raw",
        ),
        ([("step", "1s"), ("from", "-7d")], 413, "take a larger step"),
        ([("step", "1h"), *WITHIN_AN_HOUR], 400, "take a smaller step"),
        ([("over", "median")], 400, "over: expected one of avg, min"),
        ([("over", "rate")], 400, "is no counter"),
        ([("over", "max"), ("step", "raw")], 400, "max is of windows"),
        ([("over", "quantile"), ("share", "2")], 400, "share: expected 0 to 1"),
        ([("share", "half")], 400, "share: expected 0 to 1"),
        ([("where", "team")], 400, "where: 'team': expected LABEL=VALUE"),
        ([("where", "team=~(")], 400, "is not one of RE2"),
        ([("where", "a=b")] * 51, 400, "where: given 51 times"),
        ([("from", "now")], 400, "from: must be before `to`"),
        ([("from", "-1h"), ("from", "-2h")], 400, "from: given 2 times"),
        ([("format", "xlsx")], 400, "format: expected one of parquet, arrow, csv"),
        ([("filter.a", "b")], 400, "filter.a: unknown; allowed: format, from, metric, over"),
    ],
)
def test_what_is_wrong_is_said(
    http: FlaskClient, pairs: list[tuple[str, str]], status: int, words: str
) -> None:
    named = any(name in ("metric", "filter.a") for name, _ in pairs) or not pairs
    asked = pairs if named else [("metric", "vm.cpu.utilization"), *pairs]

    answer: Any = json_of(http.get(url_of(*asked)), status)

    assert words in answer["message"]


def test_so_many_are_made_at_once_and_no_more(http: FlaskClient) -> None:
    asked = url_of(("metric", "vm.cpu.utilization"))
    begun = [http.get(asked) for _ in range(MOST_AT_ONCE)]  # nobody has read them yet

    refused = http.get(asked)

    assert json_of(refused, 503)["message"] == "3 exports are made already: try again soon"
    assert refused.headers["Retry-After"] == "5"
    for answer in begun:
        assert answer.data
    left = http.get(asked)
    left.close()  # without having read it
    assert [http.get(asked).data[:4] for _ in range(MOST_AT_ONCE + 1)] == [b"PAR1"] * 4


def test_a_store_that_is_away_is_unavailable(http_with: Callable[..., FlaskClient]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    http = http_with(telemetry=lambda: connect(url))
    for _ in range(MOST_AT_ONCE + 1):
        answer = http.get(url_of(("metric", "vm.cpu.utilization")))
        assert json_of(answer, 503)["error"] == "Unavailable"
        assert "exports" not in answer.text
