"""People query as `reader`: honest questions are answered, everything else is refused."""

from __future__ import annotations

import re
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
def test_a_reader_is_refused(
    reader: Asker, service: Asker, canary_file: Path, statement: str
) -> None:
    sent = statement.replace("{file}", str(canary_file)).replace("{url}", reader.url)
    before = service.ask("SELECT count() FROM novacron.data_canary").text

    answer = reader.ask(sent.encode())

    said = _ERROR.match(answer.text)
    assert said, f"{answer.status_code}: {answer.text[:300]}"
    assert int(said[1]) in {_NOT_ALLOWED, _NO_SUCH_TABLE, *_NO_STATEMENT}, answer.text
    assert answer.status_code in (400, 403, 404)
    assert answer.headers["X-ClickHouse-Exception-Code"] == said[1]
    assert CANARY not in answer.text
    assert service.ask("SELECT count() FROM novacron.data_canary").text == before
    assert [path.name for path in canary_file.parent.iterdir()] == ["file"]


def test_the_corpus_is_large_and_says_each_thing_once() -> None:
    assert len(set(REFUSED)) == len(REFUSED) >= 60
    assert len(set(HONEST)) == len(HONEST) >= 30


@pytest.mark.parametrize("statement", HONEST)
def test_an_honest_question_is_answered(reader: Asker, filled: Client, statement: str) -> None:
    answer = reader.ask(statement)

    assert answer.status_code == 200, answer.text
    assert "__exception__" not in answer.text
