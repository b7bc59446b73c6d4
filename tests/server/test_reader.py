"""What a reader's client can count on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from novacron_store.telemetry.reader import functions
from novacron_store.telemetry.views import VIEWS
from server.conftest import Asker
from store_process import StoreProcess


def test_values_of_a_reader_are_bound_not_pasted(reader: Asker) -> None:
    answer = reader.ask(
        "SELECT {n:UInt8} + 1, {s:String}, {a:Array(String)}",
        param_n="41",
        param_s="' UNION ALL SELECT file(x) --",
        param_a="['a','b']",
    )
    assert answer.text == "42\t\\' UNION ALL SELECT file(x) --\t['a','b']\n"


def test_a_name_in_a_with_hides_nothing_but_itself(reader: Asker, canary_file: Path) -> None:
    own = reader.ask("WITH secrets AS (SELECT 7 AS n) SELECT n FROM secrets")
    assert own.text == "7\n"

    outside = reader.ask("SELECT (WITH x AS (SELECT 7) SELECT * FROM x), * FROM x")
    assert outside.headers["X-ClickHouse-Exception-Code"] == "60"


def test_a_reader_sees_the_views_and_their_columns(reader: Asker) -> None:
    tables = reader.ask("SHOW TABLES").text.splitlines()
    assert [line.split("\t")[0] for line in tables] == sorted(view.name for view in VIEWS)

    assert reader.ask("DESCRIBE samples").text.startswith("metric\t")


def test_a_reader_has_no_session_to_keep_things_in(reader: Asker) -> None:
    answer = reader.ask("SET max_threads = 1", session_id="mine")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "497"


def test_an_unmodified_client_connects_and_reads(
    store_process: StoreProcess, filled: Client
) -> None:
    client = store_process.reader()

    assert client.command("SELECT uniqExact(entity) >= 3 FROM samples") == 1
    assert client.query_arrow("SELECT entity, value FROM samples LIMIT 7").num_rows == 7
    assert client.query("SELECT {n:UInt8}", parameters={"n": 3}).result_rows == [(3,)]
    with pytest.raises(DatabaseError, match="Multi-statements are not allowed"):
        client.query("SELECT 1; SELECT 2")
    client.close()


def test_every_listed_function_exists_and_none_reaches_out(service: Asker) -> None:
    rows = service.ask("SELECT name FROM system.functions WHERE origin = 'System'").text.split()
    ours = functions.listed("functions.txt") | functions.listed("aggregates.txt")
    assert ours <= set(rows)

    reaching = re.compile(r"^(file|url$|dict|joinGet|get.*Setting|hostName|sleep|ai[A-Z]|__)")
    assert [name for name in rows if functions.allowed(name) and reaching.match(name)] == []
