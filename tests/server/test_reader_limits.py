"""What a reader's query may cost, and that its sender cannot change that."""

from __future__ import annotations

import time

import pytest

from server.conftest import Asker


@pytest.mark.parametrize(
    ("statement", "codes"),
    [
        ("SELECT count() FROM system.numbers", {158, 159}),
        ("SELECT number FROM system.numbers", {396}),
        ("SELECT sum(sipHash64(number)) FROM numbers(100000000000)", {158, 159}),
        ("SELECT count() FROM numbers(1000000) AS a, numbers(1000000) AS b", {159}),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) SELECT max(n) FROM r",
            {306, 159},  # or there was no time for that many rounds
        ),
        ("SELECT groupArray(number) FROM numbers(900000000)", {241, 159}),
        ("SELECT length(repeat(repeat('x', 1000000), 1000000))", {131, 241}),
        ("SELECT * FROM numbers(3001)", {396}),
        ("SELECT " + "(" * 3000 + "1" + ")" * 3000, {167, 306}),
        ("SELECT " + "1 + " * 20000 + "1", {167, 306}),
        ("SELECT 1" + " " * 200_000, {62}),
    ],
)
def test_what_costs_too_much_stops_at_a_limit(
    reader: Asker, statement: str, codes: set[int]
) -> None:
    start = time.monotonic()

    answer = reader.ask(statement, max_execution_time="2")

    assert int(answer.headers["X-ClickHouse-Exception-Code"]) in codes, answer.text
    assert time.monotonic() - start < 15
    assert reader.ask("SELECT 1").text == "1\n"


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("readonly", "0", 164),
        ("max_execution_time", "0", 452),
        ("max_execution_time", "99999", 452),
        ("max_memory_usage", "-1", 452),
        ("max_rows_to_read", "1e99", 452),
        ("allow_ddl", "1", 164),
        ("allow_introspection_functions", "1", 164),
        ("max_parser_depth", "100000", 164),
        ("dialect", "kusto", 164),
        ("implicit_select", "1", 164),
        ("additional_table_filters", "{'samples': '1'}", 164),
        ("format_schema", "/etc/passwd", 164),
        ("database", "private", 497),
        ("default_format", "Template", 497),
        ("param_x", "data_windows", 497),
    ],
)
def test_a_reader_cannot_lift_a_limit_by_a_parameter(
    reader: Asker, setting: str, value: str, code: int
) -> None:
    query = "SELECT * FROM {x:Identifier}" if setting == "param_x" else "SELECT 1"

    answer = reader.ask(query, **{setting: value})

    assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert answer.status_code == 403


def test_a_reader_may_lower_limits_and_choose_how_values_look(reader: Asker) -> None:
    answer = reader.ask("SELECT * FROM numbers(100)", max_result_rows="10")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "396"

    asked = {"output_format_json_quote_64bit_integers": "1", "default_format": "JSONCompact"}
    assert reader.ask("SELECT toUInt64(7)", **asked).json()["data"] == [["7"]]
