"""Unmodified clients of ClickHouse work against novacron-store."""

from __future__ import annotations

import bz2
import gzip
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import lz4.frame
import pytest
import zstandard
from clickhouse_connect.driver.client import Client

from server.conftest import Asker, as_it_comes, asker
from store_process import StoreProcess


@pytest.fixture
def client(store_process: StoreProcess) -> Iterator[Client]:
    one = as_it_comes(store_process)
    yield one
    one.close()


@pytest.fixture
def table(service: Asker) -> Iterator[str]:
    name = f"default.t_{uuid4().hex}"
    service.ask(
        f"CREATE TABLE {name} (a UInt32, b String, t DateTime64(3, 'UTC'), m Map(String, String)) "
        "ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
    ).raise_for_status()
    yield name
    service.ask(f"DROP TABLE {name}").raise_for_status()


def test_an_empty_arrow_answer_has_its_columns(client: Client, table: str) -> None:
    assert client.query_arrow(f"SELECT a, b FROM {table}").column_names == ["a", "b"]


def test_parameters_in_a_form_are_bound(store_process: StoreProcess) -> None:
    ids = [f"entity-{n}" for n in range(5000)]
    client = store_process.service()  # sends them in a form
    answer = client.query("SELECT length({ids:Array(String)})", parameters={"ids": ids})
    assert answer.result_rows == [(5000,)]
    client.close()


def test_a_session_keeps_what_it_set_and_no_other_sees_it(service: Asker) -> None:
    mine, query = uuid4().hex, "SELECT getSetting('max_block_size')"
    service.ask("SET max_block_size = 4321", session_id=mine).raise_for_status()

    assert service.ask(query, session_id=mine).text == "4321\n"
    assert service.ask(query, session_id=uuid4().hex).text != "4321\n"
    assert service.ask(query).text != "4321\n"


def test_a_temporary_table_lives_in_its_session(client: Client, service: Asker) -> None:
    client.command("CREATE TEMPORARY TABLE mine (a UInt8)")
    client.insert("mine", [[3]], column_names=["a"])

    assert client.command("SELECT sum(a) FROM mine") == 3
    assert service.ask("SELECT sum(a) FROM mine").status_code == 404


def test_nothing_of_a_request_is_left_for_the_next_one_without_a_session(service: Asker) -> None:
    query = "SELECT getSetting('max_block_size'), currentDatabase()"
    before = service.ask(query).text

    assert service.ask(query, max_block_size=4321, database="system").text == "4321\tsystem\n"
    assert service.ask(query).text == before
    assert service.ask("SET max_block_size = 1234").status_code == 200
    assert service.ask("CREATE TEMPORARY TABLE left_behind (a UInt8)").status_code == 200
    assert service.ask("USE system").status_code == 200
    for _ in range(3):  # whichever handle it gets
        assert service.ask("SELECT sum(a) FROM left_behind").status_code == 404
        assert service.ask(query).text == before
    assert service.ask(query, max_block_size=4321, database="system").text == "4321\tsystem\n"


def test_after_a_failed_query_the_next_one_has_an_answer_of_its_own(service: Asker) -> None:
    """Without a session, too, where either may get the other's handle."""
    for form in ("Arrow", "CSV", "Native", "TabSeparated"):
        query = f"SELECT number, throwIf(number = 70000) FROM numbers(100000) FORMAT {form}"
        assert service.ask(query, wait_end_of_query=1).status_code >= 400
        assert service.ask("SELECT 1").text == "1\n"


@pytest.mark.parametrize("form", ["Arrow", "CSV", "JSON", "Native", "Parquet", "TabSeparated"])
def test_what_a_failed_query_had_written_is_not_in_the_next_answer(
    service: Asker, form: str
) -> None:
    query = f"SELECT number, throwIf(number = 70000) FROM numbers(100000) FORMAT {form}"
    mine = uuid4().hex
    assert service.ask(query, session_id=mine).status_code >= 400
    assert service.ask("SELECT 1", session_id=mine).text == "1\n"


def test_a_session_ends_when_it_was_idle_for_its_time(service: Asker) -> None:
    mine = {"session_id": uuid4().hex, "session_timeout": "1"}
    service.ask("CREATE TEMPORARY TABLE mine (a UInt8)", **mine).raise_for_status()
    assert service.ask("SELECT count() FROM mine", **mine).text == "0\n"
    time.sleep(1.2)

    gone = service.ask("SELECT 1", **mine, session_check="1")

    assert gone.status_code == 404
    assert "SESSION_NOT_FOUND" in gone.text
    assert service.ask("SELECT count() FROM mine", **mine).status_code == 404


def test_a_session_answers_one_query_at_a_time(service: Asker, store_process: StoreProcess) -> None:
    mine = uuid4().hex
    password = store_process.service_password_file.read_text()
    other = asker(store_process.url, "service", password)
    slow = threading.Thread(
        target=other.ask, args=("SELECT sleep(1.5)",), kwargs={"session_id": mine}
    )
    slow.start()
    time.sleep(0.5)

    busy = service.ask("SELECT 1", session_id=mine)

    slow.join()
    other.http.close()
    assert (busy.status_code, "SESSION_IS_LOCKED" in busy.text) == (409, True)
    assert service.ask("SELECT 1", session_id=mine).text == "1\n"


def test_a_repeated_insert_is_stored_once(service: Asker, table: str) -> None:
    query = f"INSERT INTO {table} (a) FORMAT TabSeparated\n1\n2\n"
    for _ in range(3):
        service.ask(query, insert_deduplication_token="one").raise_for_status()
    assert service.ask(f"SELECT count() FROM {table}").text == "2\n"

    service.ask(query, insert_deduplication_token="two").raise_for_status()
    assert service.ask(f"SELECT count() FROM {table}").text == "4\n"


def test_a_broken_insert_stores_nothing(service: Asker, table: str) -> None:
    rows = "".join(f"{n}\n" for n in range(1000))
    answer = service.ask(f"INSERT INTO {table} (a) FORMAT TabSeparated\n{rows}oops\n")

    assert answer.status_code == 400
    assert answer.text.startswith("Code: 27. DB::Exception: ")
    assert service.ask(f"SELECT count() FROM {table}").text == "0\n"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("INSERT INTO {table} (a, b) FORMAT CSV", '1,"x;y"\n2,"INSERT"\n'),
        ("", 'INSERT INTO {table} (a, b) FORMAT CSV\n1,"x"\n2,"FORMAT CSV"\n'),
        ("", 'INSERT INTO {table} (a, b) FORMAT JSONEachRow\n{"a": 1}\n{"a": 2, "b": "k"}\n'),
        ("", "INSERT INTO {table} (a, b) VALUES (1, 'x'), (2, 'it''s')"),
        ("", "INSERT INTO {table} (a) SELECT number + 1 FROM numbers(2)"),
        ("INSERT INTO {table} (a)", "SELECT number + 1 FROM numbers(2)"),
    ],
)
def test_inserts_by_plain_http_work(service: Asker, table: str, query: str, body: str) -> None:
    query, body = query.replace("{table}", table), body.replace("{table}", table)
    parameters = {"query": query} if query else {}

    service.ask(body, **parameters).raise_for_status()

    assert service.ask(f"SELECT count(), sum(a) FROM {table}").text == "2\t3\n"


def test_a_query_may_be_in_the_url_the_body_or_both(service: Asker) -> None:
    assert service.http.get("/", params={"query": "SELECT 1 FORMAT JSON"}).json()["data"]
    assert service.ask("SELECT 1, 2").text == "1\t2\n"
    assert service.ask("+ 2", query="SELECT 1").text == "3\n"


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("lz4", lz4.frame.compress),
        ("zstd", zstandard.compress),
        ("zstd", lambda text: zstandard.compress(text[:5]) + zstandard.compress(text[5:])),
        ("identity", bytes),
    ],
)
def test_compressed_bodies_are_read(
    service: Asker, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    headers = {"Content-Encoding": encoding}
    whole = encode(b"SELECT 42")

    assert service.http.post("/", content=whole, headers=headers).text == "42\n"

    if encoding != "identity":
        torn = service.http.post("/", content=whole[:-3], headers=headers)
        assert torn.status_code == 400
        assert "CANNOT_DECOMPRESS" in torn.text


@pytest.mark.parametrize(
    ("encoding", "decode"),
    [
        ("gzip", gzip.decompress),
        ("deflate", zlib.decompress),
        ("lz4", lz4.frame.decompress),
        ("zstd", lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body)),
    ],
)
@pytest.mark.parametrize("form", ["TabSeparated", "JSON"])  # the one is streamed, the other not
def test_answers_are_compressed_for_who_asks(
    service: Asker, encoding: str, decode: Callable[[bytes], bytes], form: str
) -> None:
    query, asked = (
        f"SELECT number FROM numbers(200000) FORMAT {form}",
        {"Accept-Encoding": encoding},
    )
    plain = service.http.post("/", content=query, headers=asked)
    assert "Content-Encoding" not in plain.headers

    once = {"enable_http_compression": "1"}
    with service.http.stream("POST", "/", content=query, params=once, headers=asked) as answer:
        assert answer.headers["Content-Encoding"] == encoding
        packed = b"".join(answer.iter_raw())

    assert len(packed) < len(plain.content) / 1.5
    got, sent = decode(packed), plain.content
    if form == "JSON":  # which says how long it took
        got, sent = (json.dumps(json.loads(text)["data"]).encode() for text in (got, sent))
    assert got == sent


@pytest.mark.parametrize("accepted", ["", "br", "identity", "gzip;q=0", "lz4; q=0.0, snappy"])
def test_nobody_gets_a_compression_he_did_not_name(service: Asker, accepted: str) -> None:
    answer = service.http.post(
        "/",
        content="SELECT number FROM numbers(20000)",
        params={"enable_http_compression": "1"},
        headers={"Accept-Encoding": accepted},
    )
    assert "Content-Encoding" not in answer.headers


def test_who_waits_for_the_end_gets_a_status_instead_of_half_an_answer(service: Asker) -> None:
    query = "SELECT number, throwIf(number = 900000) FROM numbers(1000000) FORMAT CSV"

    begun = service.ask(query, max_block_size=10000)
    waited = service.ask(query, max_block_size=10000, wait_end_of_query=1)

    assert begun.status_code == 200
    assert "__exception__" in begun.text
    assert waited.status_code >= 400
    assert waited.text.startswith("Code: 395.")


def test_an_unknown_compression_is_named(service: Asker) -> None:
    answer = service.http.post(
        "/", content=bz2.compress(b"SELECT 1"), headers={"Content-Encoding": "bz2"}
    )
    assert (answer.status_code, "'bz2'" in answer.text) == (501, True)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("lz4", lz4.frame.compress),
        ("zstd", zstandard.compress),
        ("", bytes),
    ],
)
def test_a_body_that_inflates_beyond_the_limit_is_refused(
    reader: Asker, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    answer = reader.http.post(
        "/", content=encode(b" " * 50_000_000), headers={"Content-Encoding": encoding}
    )
    assert (answer.status_code, "larger than" in answer.text) == (413, True)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("SELEC 1", 400, 62),
        ("SELECT * FROM nowhere", 404, 60),
        ("SELECT * FROM nowhere.nothing", 404, 81),
        ("SELECT nosuch()", 404, 46),
        ("SELECT nosuch", 404, 47),
        ("SELECT toUInt8('x')", 400, 6),
        ("SELECT 1 FORMAT Nonsense", 404, 73),
        ("SELECT 1 FORMAT DataFrame", 404, 73),
        ("SELECT 1 SETTINGS nonsense = 1", 404, 115),
        ("SELECT {x:UInt8}", 400, 456),
    ],
)
def test_errors_have_clickhouses_code_and_words(
    service: Asker, query: str, status: int, code: int | None
) -> None:
    answer = service.ask(query)

    assert answer.status_code == status, answer.text
    assert answer.headers.get("X-ClickHouse-Exception-Code") == (code and str(code))
    assert code is None or answer.text.startswith(f"Code: {code}. DB::Exception: ")


def test_a_setting_that_does_not_exist_is_an_error(service: Asker) -> None:
    assert service.ask("SELECT 1", nonsense="1").status_code == 404
    assert service.ask("SELECT 1", **{"x = 1, readonly": "1"}).status_code == 404


@pytest.mark.parametrize(
    "auth",
    [
        None,
        ("service", ""),
        ("service", "reader-secret"),
        ("reader", "x"),
        ("default", ""),
        ("", ""),
    ],
)
def test_strangers_are_turned_away(
    store_process: StoreProcess, auth: tuple[str, str] | None
) -> None:
    answer = httpx.post(store_process.url, content="SELECT 1", auth=auth)
    assert (answer.status_code, "AUTHENTICATION_FAILED" in answer.text) == (403, True)


def test_credentials_may_come_in_headers_or_parameters(store_process: StoreProcess) -> None:
    password = store_process.service_password_file.read_text()
    headers = {"X-ClickHouse-User": "service", "X-ClickHouse-Key": password}
    assert httpx.post(store_process.url, content="SELECT 1", headers=headers).text == "1\n"

    parameters = {"user": "service", "password": password}
    assert httpx.post(store_process.url, content="SELECT 1", params=parameters).text == "1\n"


def test_anybody_may_ask_whether_it_lives(store_process: StoreProcess) -> None:
    for path in ("/ping", "/"):
        assert httpx.get(store_process.url + path).text == "Ok.\n"


def test_many_clients_at_once_get_their_own_answers(store_process: StoreProcess) -> None:
    password = store_process.service_password_file.read_text()
    got: dict[int, str] = {}

    def ask(number: int) -> None:
        one = asker(store_process.url, "service", password)
        got[number] = one.ask(
            f"SELECT {number}, getSetting('max_block_size')", max_block_size=str(1000 + number)
        ).text
        one.http.close()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: f"{n}\t{1000 + n}\n" for n in range(24)}
