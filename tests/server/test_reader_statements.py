"""People query as `reader`: honest questions are answered, everything else is refused."""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from server.conftest import CANARY, Asker
from server.statements import HONEST, REFUSED

_ERROR = re.compile(r"Code: (\d+)\. DB::Exception: .+ \([A-Z_]+\)", re.DOTALL)
_NOT_ALLOWED = 497
_NO_STATEMENT = {36, 62, 80}
_NO_SUCH_TABLE = 60


@pytest.mark.parametrize("statement", REFUSED)
def test_a_reader_is_refused(reader: Asker, canary_file: Path, statement: str) -> None:
    url = str(reader.http.base_url)
    sent = statement.replace("{file}", str(canary_file)).replace("{url}", url)

    answer = reader.ask(sent.encode())

    said = _ERROR.match(answer.text)
    assert said, f"{answer.status_code}: {answer.text[:300]}"
    assert int(said[1]) in {_NOT_ALLOWED, _NO_SUCH_TABLE, *_NO_STATEMENT}, answer.text
    assert answer.status_code in (400, 403, 404)
    assert answer.headers["X-ClickHouse-Exception-Code"] == said[1]
    assert CANARY not in answer.text
    assert [path.name for path in canary_file.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-7"),
        lambda text: text.encode().replace(b"file", b"f\x00ile"),
        lambda text: text.encode().replace(b"file", b"f\xc0\xafile"),
        lambda text: text.replace("file", "\uff46\uff49\uff4c\uff45").encode(),
        lambda text: text.replace("file", "fi\u200ble").encode(),
        lambda text: gzip.compress(text.encode()),
    ],
)
def test_no_encoding_hides_a_file(
    reader: Asker, canary_file: Path, encode: Callable[[str], bytes]
) -> None:
    answer = reader.ask(encode(f"SELECT * FROM file('{canary_file}', 'LineAsString')"))

    assert answer.status_code in (400, 403)
    assert answer.text.startswith("Code: ")
    assert CANARY not in answer.text


def test_the_corpus_is_large_and_says_each_thing_once() -> None:
    assert len(set(REFUSED)) == len(REFUSED) >= 60
    assert len(set(HONEST)) == len(HONEST) >= 30


@pytest.mark.parametrize("statement", HONEST)
def test_an_honest_question_is_answered(reader: Asker, filled: Client, statement: str) -> None:
    answer = reader.ask(statement)

    assert answer.status_code == 200, answer.text
    assert "__exception__" not in answer.text


def test_pieces_of_statements_in_any_order_never_break_the_check(
    reader: Asker, canary_file: Path
) -> None:
    words = [word for statement in (*HONEST, *REFUSED) for word in re.findall(r"\w+|\W", statement)]
    dice = random.Random(20)
    for _ in range(400):
        statement = "".join(dice.choices(words, k=dice.randint(1, 25)))
        if dice.random() < 0.7:
            statement = "SELECT " + statement
        answer = reader.ask(statement.replace("file", str(canary_file)).encode())
        assert answer.status_code != 500, (statement, answer.text)
        assert answer.status_code == 200 or answer.text.startswith("Code: "), statement
        assert CANARY not in answer.text
