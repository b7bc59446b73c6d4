"""clickhouse-connect's client API: against novacron-store as against the engine in one process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import clickhouse_connect
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, Error, StreamFailureError

from server.conftest import as_it_comes
from store_process import StoreProcess

NOON = datetime(2026, 1, 2, 12, 0, 0, 6000, UTC)
ROWS = [
    (1, "x", NOON, {"k": "v"}, [1.5, 2.5], None, "on"),
    (2, "it's\t\\", NOON, {}, [], -7, "off"),
    (3, "ünï", NOON, {"a": "", "b": "\n"}, [0.1], 0, "on"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = str(tmp_path_factory.mktemp("embedded"))
    keeps_the_engine_open = clickhouse_connect.get_client(interface="chdb", path=path)
    yield path
    keeps_the_engine_open.close()


@pytest.fixture(params=["novacron-store", "novacron-store, plain", "in this process"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """As it comes: with a session of its own, and answers compressed unless it says "plain"."""
    if request.param == "in this process":
        folder = request.getfixturevalue("folder")
        one = clickhouse_connect.get_client(interface="chdb", path=folder)
    else:
        store: StoreProcess = request.getfixturevalue("store_process")
        one = as_it_comes(store, compress="plain" not in request.param)
    yield one
    one.close()


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    name = f"default.t_{uuid4().hex}"
    client.command(
        f"CREATE TABLE {name} (a UInt32, b String, t DateTime64(3, 'UTC'), m Map(String, String), "
        "l Array(Float64), n Nullable(Int16), e Enum8('on' = 1, 'off' = 2)) "
        "ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
    )
    yield name
    client.command(f"DROP TABLE {name}")


def test_it_connects(client: Client) -> None:
    assert client.ping()
    assert client.min_version("25")
    assert client.command("SELECT version()") == client.server_version


def test_rows_of_every_kind_come_back_unchanged(client: Client, table: str) -> None:
    assert client.insert(table, ROWS).written_rows == len(ROWS)

    answer = client.query(f"SELECT * FROM {table} ORDER BY a", tz_mode="aware")
    assert answer.column_names == ("a", "b", "t", "m", "l", "n", "e")
    assert [tuple(row) for row in answer.result_rows] == ROWS
    assert [row["n"] for row in answer.named_results()] == [None, -7, 0]
    columns = client.query(f"SELECT a, l FROM {table} ORDER BY a", column_oriented=True)
    assert list(columns.result_set[0]) == [1, 2, 3]


def test_rows_of_some_columns_and_insert_contexts(client: Client, table: str) -> None:
    context = client.create_insert_context(table, ["a", "b"])
    for number in range(3):
        client.insert(data=[[number, "same"]], context=context)
    client.insert(table, [[7, 8], ["p", "q"]], column_names=["a", "b"], column_oriented=True)

    rows = client.query(f"SELECT a, b FROM {table} ORDER BY a").result_rows
    assert rows == [(0, "same"), (1, "same"), (2, "same"), (7, "p"), (8, "q")]


def test_an_insert_that_the_table_does_not_take_is_told(client: Client, table: str) -> None:
    client.command(f"ALTER TABLE {table} ADD CONSTRAINT small CHECK a < 10")
    with pytest.raises(DatabaseError, match="Constraint `small`"):
        client.insert(table, [[10]], column_names=["a"])
    without_room = {"min_free_disk_bytes_to_perform_insert": str(2**60)}
    with pytest.raises(DatabaseError, match="free space"):
        client.insert(table, [[1]], column_names=["a"], settings=without_room)

    assert client.query(f"SELECT a FROM {table}").result_rows == []


def test_an_insert_has_settings_of_its_own(client: Client, table: str) -> None:
    told = client.raw_insert(table, ["a"], "1\n2\n", fmt="CSV")
    assert told.written_rows == 2
    client.command(f"INSERT INTO {table} (a) SETTINGS async_insert = 0 FORMAT CSV", data="3\n")
    assert client.query(f"SELECT a FROM {table} ORDER BY a").result_rows == [(1,), (2,), (3,)]


def test_data_frames_go_in_and_come_out(client: Client, table: str) -> None:
    sent = pd.DataFrame({"a": np.arange(5000, dtype="uint32"), "b": ["q"] * 5000})
    client.insert_df(table, sent)

    got = client.query_df(f"SELECT a, b, t FROM {table} ORDER BY a")
    assert got["a"].tolist() == sent["a"].tolist()
    assert (got["b"] == "q").all()
    assert str(got["t"].dtype).startswith("datetime64[")
    by_numpy = client.query_np(f"SELECT a FROM {table} ORDER BY a")
    assert by_numpy[:, 0].tolist() == sent["a"].tolist()


def test_arrow_goes_in_and_comes_out(client: Client, table: str) -> None:
    numbers = pa.array(range(200_000), pa.uint32())
    client.insert_arrow(table, pa.table({"a": numbers, "b": ["q"] * 200_000}))

    got = client.query_arrow(f"SELECT a, b FROM {table} ORDER BY a", use_strings=True)
    assert got.column("a").combine_chunks() == numbers
    assert got.schema.field("b").type == pa.string()
    assert client.query_arrow(f"SELECT a, b FROM {table} WHERE a > 999999").num_rows == 0
    arrow_frame = client.query_df_arrow(f"SELECT a FROM {table} ORDER BY a LIMIT 3")
    assert arrow_frame["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("fmt", ["CSV", "CSVWithNames", "JSONEachRow", "TabSeparated", "Native"])
def test_raw_bytes_go_in_and_come_out(client: Client, table: str, fmt: str) -> None:
    query = "SELECT toUInt32(number) AS a, repeat('long ', 50) AS b FROM numbers(5000)"
    raw = client.raw_query(query, fmt=fmt)

    client.raw_insert(table, ["a", "b"], insert_block=raw, fmt=fmt)

    copied = f"SELECT count(), sum(a), sum(length(b)) FROM {table}"
    assert client.query(copied).first_row == (5000, 12_497_500, 1_250_000)


def test_answers_stream(client: Client) -> None:
    query = "SELECT number FROM numbers(300000)"
    expected = 300_000 * 299_999 // 2

    with client.query_rows_stream(query) as rows:
        assert sum(number for (number,) in rows) == expected
    with client.query_row_block_stream(query) as blocks:
        assert sum(number for block in blocks for (number,) in block) == expected
    with client.query_column_block_stream(query) as columns:
        assert sum(sum(column[0]) for column in columns) == expected
    with client.query_np_stream(query) as arrays:
        assert sum(int(array.sum()) for array in arrays) == expected
    with client.query_df_stream(query) as frames:
        assert sum(int(frame["number"].sum()) for frame in frames) == expected
    with client.query_arrow_stream(query) as tables:
        assert sum(sum(one.column("number").to_pylist()) for one in tables) == expected
    with client.raw_stream(query, fmt="TabSeparated") as raw:
        assert b"".join(raw).count(b"\n") == 300_000


def test_an_answer_that_was_not_read_to_its_end_disturbs_nobody(client: Client) -> None:
    with client.query_row_block_stream("SELECT number FROM numbers(100000000)") as blocks:
        next(iter(blocks))
    assert client.command("SELECT 1") == 1


def test_parameters_are_bound(client: Client) -> None:
    values = {"n": 5, "s": "a'b\\c\n", "d": NOON, "l": ["x", "y'"]}
    query = "SELECT {n:UInt8} + 1, {s:String}, toUnixTimestamp({d:DateTime}), {l:Array(String)}"

    assert client.query(query, parameters=values).result_rows == [
        (6, "a'b\\c\n", 1767355200, ["x", "y'"])
    ]
    by_client = client.query("SELECT %(s)s, %(n)s", parameters={"s": "it's", "n": 3})
    assert by_client.result_rows == [("it's", 3)]


def test_settings_hold_for_one_query_alone(client: Client) -> None:
    query = "SELECT getSetting('max_block_size')"
    before = client.command(query)

    assert client.query(query, settings={"max_block_size": 1234}).first_row == (1234,)

    assert client.command(query) == before


def test_a_client_keeps_its_settings_and_temporary_tables(client: Client) -> None:
    name = f"mine_{uuid4().hex}"
    client.command(f"CREATE TEMPORARY TABLE {name} (a UInt8)")
    client.insert(name, [[3]], column_names=["a"])
    assert client.command(f"SELECT sum(a) FROM {name}") == 3
    client.command(f"DROP TABLE {name}")

    client.set_client_setting("max_result_rows", 12)
    with pytest.raises(DatabaseError, match="Limit for result"):
        client.query("SELECT number FROM numbers(100)")
    client.set_client_setting("max_result_rows", 0)
    assert len(client.query("SELECT number FROM numbers(100)").result_rows) == 100


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELEC 1", 62),
        ("SELECT * FROM nowhere", 60),
        ("SELECT nosuch", 47),
        ("SELECT toUInt8('x')", 6),
        ("SELECT throwIf(1, 'no luck')", 395),
    ],
)
def test_errors_have_clickhouses_code(client: Client, query: str, code: int) -> None:
    for ask in (client.query, client.command, client.query_df):
        with pytest.raises(Error, match=f"[Cc]ode: {code}"):
            ask(query)


def test_an_error_in_the_middle_of_an_answer_reaches_the_client(client: Client) -> None:
    query = "SELECT number, throwIf(number = 900000, 'too far') FROM numbers(1000000)"
    with (
        pytest.raises((StreamFailureError, DatabaseError), match="too far"),
        client.query_row_block_stream(query) as blocks,
    ):
        for _ in blocks:
            pass
    assert client.command("SELECT 1") == 1


def test_a_broken_insert_stores_nothing(client: Client, table: str) -> None:
    rows = b"".join(b"%d\n" % number for number in range(1000))
    with pytest.raises(Error):
        client.raw_insert(table, ["a"], insert_block=rows + b"oops\n", fmt="TabSeparated")
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_a_repeated_insert_is_stored_once(client: Client, table: str) -> None:
    for token in ("one", "one", "two"):
        token_setting = {"insert_deduplication_token": token}
        client.insert(table, [[1]], column_names=["a"], settings=token_setting)
    assert client.command(f"SELECT count() FROM {table}") == 2


def test_it_finds_out_what_is_there(client: Client, table: str) -> None:
    name = table.removeprefix("default.")
    assert client.command(f"EXISTS TABLE {table}") == 1
    assert (name,) in client.query("SHOW TABLES FROM default").result_rows
    columns = client.query(
        "SELECT name, type FROM system.columns WHERE table = {name:String} ORDER BY position",
        parameters={"name": name},
    )
    assert columns.first_row == ("a", "UInt32")
    described = client.query(f"DESCRIBE TABLE {table}")
    assert [row["name"] for row in described.named_results()] == list("abtmlne")
