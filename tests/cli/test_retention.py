"""novacron retention."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from cli.runs import Ended
from novacron_cli.main import main
from novacron_store.telemetry import schema
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.migrations import migrate
from store_process import StoreProcess

DAY = 86400


class Retention:
    """`novacron retention …` on a database of its own, with blocks of six days in it."""

    def __init__(self, config: Path, client: Client, capsys: pytest.CaptureFixture[str]) -> None:
        self.config, self.client, self._capsys = config, client, capsys

    def __call__(self, word: str, *words: str) -> Ended:
        code = main(["retention", word, "--config", str(self.config), *words])
        captured = self._capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    def days(self) -> int:
        return int(str(self.client.command(f"SELECT count() FROM {schema.BLOCKS}")))


@pytest.fixture
def retention(
    store_process: StoreProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Retention]:
    database, password = f"kept_{uuid4().hex}", store_process.service_password_file
    config = tmp_path / "collector.toml"
    config.write_text(
        f'[telemetry]\nurl = "{store_process.url}"\npassword_file = "{password}"\n'
        f'database = "{database}"\n[state]\nurl = "sqlite:///{tmp_path}/state.db"\n'
        f'[wal]\npath = "{tmp_path}/wal"\n[[forward]]\nname = "central"\n'
    )
    client = connect(
        store_process.url, user="service", password=password.read_text(), database=database
    )
    migrate(client)
    midnight = int(time.time()) // DAY * DAY
    for days in range(1, 7):
        client.command(f"INSERT INTO {schema.BLOCKS} (hour) VALUES ({midnight - days * DAY})")
    yield Retention(config, client, capsys)
    client.command(f"DROP DATABASE {database}")
    client.close()


def test_show_says_how_long_what_is_kept_and_how_much_there_is(retention: Retention) -> None:
    lines = [re.split(r" {2,}", line.strip()) for line in retention("show").out.splitlines()]
    assert [line[0] for line in lines[2:]] == ["raw", "long", "short", "rollup_5m", "rollup_1h"]
    assert lines[2][1] == "7 d"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d 00:00", lines[2][2])
    assert lines[2][3].endswith("KiB")
    assert lines[3][1:] == ["30 d", "–", "–"]
    kept = json.loads(retention("show", "--json").out)["kept"]
    assert kept[0]["kept_s"] == 7 * DAY


def test_set_holds_at_once_and_drops_what_has_expired(retention: Retention) -> None:
    assert retention.days() == 6

    asked = retention("set", "raw=3d", "billing=1y", "rollup_1h=5y")
    assert (asked.code, retention.days()) == (2, 6)
    assert re.search(
        r"drops [\d.]+ KiB of what is older than 20\S+ 01:00 UTC: say --yes", asked.err
    )

    done = retention("set", "raw=3d", "billing=1y", "rollup_1h=5y", "--yes")
    assert done.code == 0
    assert "dropped " in done.out
    assert "raw: 3 d\nbilling: 365 d\n" in done.out
    assert retention.days() in (2, 3)

    assert retention("set", "raw=5d").code == 0  # longer: nothing to ask


def test_who_is_asked_may_say_no(retention: Retention, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    questions: list[str] = []
    answers = ["n", "", "y"]

    def answer(question: str) -> str:
        questions.append(question)
        return answers[len(questions) - 1]

    monkeypatch.setattr("builtins.input", answer)
    assert (retention("set", "raw=3d").code, retention.days()) == (2, 6)
    assert (retention("set", "raw=3d").code, retention.days()) == (2, 6)
    assert retention("set", "raw=3d").code == 0
    assert retention.days() in (2, 3)
    assert questions[0].endswith("Do it? [y/N] ")


def test_metrics_are_assigned_to_a_class(retention: Retention) -> None:
    assert retention("assign", "vm.cpu.*", "long").code == 0
    assert "vm.cpu.* is in the class long" in retention("show").out
    assert json.loads(retention("show", "--json").out)["rules"] == [
        {"metric": "vm.cpu.*", "class": "long"}
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "raw"), "raw: expected a time such as 30s, 5m or 7d, got ''"),
        (("set", "raw=5 days"), "expected a time"),
        (("set", "raw=1s"), "raw: at least 1 h"),
        (("set", "Big One=1d"), "a class is a-z"),
        (("assign", "vm.*", "nowhere"), "there are default, long, short"),
    ],
)
def test_mistakes_are_one_line(retention: Retention, words: tuple[str, ...], said: str) -> None:
    ended = retention(*words)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert said in ended.err
