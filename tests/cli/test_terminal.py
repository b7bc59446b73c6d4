"""The program itself: on a terminal, in a pipe, and with names that attack it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.runs import Novacron
from fleet_samples import HOSTILE_NAME, SampleFleet
from novacron_cli.output import plain, sparkline

PROGRAM = str(Path(sys.executable).with_name("novacron"))
COLOUR = b"\x1b[32m"  # green


def on_a_terminal(url: str, *words: str, columns: int = 300) -> bytes:
    """What the terminal would have been sent."""
    leader, follower = pty.openpty()
    env = {**os.environ, "NOVACRON_URL": url, "TERM": "xterm", "COLUMNS": str(columns)}
    env.pop("NO_COLOR", None)
    with subprocess.Popen([PROGRAM, *words], stdout=follower, env=env) as process:
        os.close(follower)
        sent = b""
        try:
            while chunk := os.read(leader, 65536):
                sent += chunk
        except OSError:  # Linux' way to say that the other end is closed
            pass
    os.close(leader)
    assert process.returncode == 0
    return sent


@pytest.mark.parametrize("words", [("vm", "list"), ("vm", "show", "{web}"), ("host", "list")])
def test_hostile_names_cannot_steer_the_terminal(
    url: str, fleet: SampleFleet, words: tuple[str, ...]
) -> None:
    sent = on_a_terminal(url, *(word.format(web=fleet.web) for word in words))
    assert COLOUR in sent
    for attack in (b"\x1b[2J", b"\x1b]0", b"\x07", "\u202e".encode(), b"\x1b[31mweb"):
        assert attack not in sent
    if words[0] == "vm":
        assert b"[red]web[/red]" in sent


def test_narrow_terminal_goes_without_some_columns(url: str, fleet: SampleFleet) -> None:
    sent = on_a_terminal(url, "vm", "list", "--search", "db-1", columns=80).decode()
    assert "25.0 % of 2" in sent
    assert fleet.db not in sent
    lines = re.sub("\x1b\\[[0-9;]*m", "", sent).splitlines()
    assert max(map(len, lines)) <= 80


def test_sql_cannot_steer_the_terminal_either(url: str) -> None:
    query = r"SELECT '\x1b[2J\x07' AS attack"
    for form in ("table", "csv"):
        sent = on_a_terminal(url, "sql", query, "--format", form)
        assert b"\x07" not in sent
        assert b"\x1b[2J" not in sent


def test_error_cannot_steer_the_terminal(novacron: Novacron) -> None:
    ended = novacron("vm", "show", HOSTILE_NAME + "!")
    assert ended.code == 1
    assert "\x1b" not in ended.err
    assert ended.err.count("\n") == 1


def test_pipe_gets_no_colour_and_whole_lines(url: str) -> None:
    env = {**os.environ, "NOVACRON_URL": url, "COLUMNS": "20"}
    out = subprocess.check_output([PROGRAM, "vm", "list"], env=env)
    assert b"\x1b" not in out
    assert b"\xe2\x80\xa6" not in out  # nothing was cut with an ellipsis
    assert len(out.splitlines()) == 5


def test_reader_that_has_seen_enough_is_no_error(url: str) -> None:
    env = {**os.environ, "NOVACRON_URL": url}
    command = f"{PROGRAM} sql 'SELECT number FROM numbers(1000)' --format csv | head -1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], env=env, capture_output=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b'"number"\n', b"")


def test_statement_comes_from_standard_input(url: str) -> None:
    env = {**os.environ, "NOVACRON_URL": url}
    command = [PROGRAM, "sql", "-", "--format", "csv"]
    assert subprocess.check_output(command, env=env, input=b"SELECT 2 AS n") == b'"n"\n2\n'


def test_long_names_are_cut() -> None:
    assert plain("x" * 5000) == "x" * 200 + "…"


def test_sparkline_has_gaps_and_survives_constants() -> None:
    assert sparkline([0, None, 7, 3.5]) == "▁ █▅"
    assert sparkline([5, 5]) == "▁▁"
    assert sparkline([None, None]) == "  "
    assert sparkline([]) == ""
