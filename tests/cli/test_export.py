"""Metrics in files, by the command line and by the lines that the docs tell."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from cli.runs import Novacron
from fleet_samples import SampleFleet
from store_process import StoreProcess

PROGRAM = str(Path(sys.executable).with_name("novacron"))
DOCS = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
NOTEBOOK, JOB = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", DOCS, re.DOTALL)
            for line in block.splitlines()]  # fmt: skip


def test_the_lines_of_the_docs_work_in_a_notebook(
    url: str, fleet: SampleFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(list(filter(None, NOTEBOOK.splitlines()))) == 3
    names: dict[str, Any] = {}

    exec(NOTEBOOK.replace("http://127.0.0.1:8440", url), names)

    cpu = names["cpu"]
    assert {fleet.web, fleet.db} <= set(cpu["entity"])
    assert set(cpu[cpu["entity"] == fleet.web]["value"].dropna()) == {0.5}
    assert set(cpu["unit"]) == {"1"}
    assert "mean" in capsys.readouterr().out


def test_the_lines_of_the_docs_work_in_a_job(
    store_process: StoreProcess, fleet: SampleFleet
) -> None:
    end = fleet.now.timestamp()
    client = store_process.service()
    names: dict[str, Any] = {"client": client, "start": end - 600, "end": end}

    exec(JOB, names)

    client.close()
    assert {fleet.web, fleet.db} <= set(names["table"]["entity"].to_pylist())


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_docs_work(url: str, tmp_path: Path, command: str) -> None:
    folder = Path(PROGRAM).parent
    env = {**os.environ, "NOVACRON_URL": url, "PATH": f"{folder}:{os.environ['PATH']}"}

    done = subprocess.run(
        ("bash", "-c", f"set -o pipefail; {command}"),
        cwd=tmp_path, env=env, capture_output=True, text=True,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_file_has_what_the_line_says(
    novacron: Novacron, fleet: SampleFleet, tmp_path: Path
) -> None:
    file = tmp_path / "net.parquet"

    ended = novacron(
        *("export", "vm.network.io", "vm.cpu.utilization", "--from", "-10m", "--step", "1m"),
        *("--where", f"entity={fleet.db}", "--tag", "vm.id", "-o", str(file)),
    )

    assert (ended.code, ended.err) == (0, "")
    time = r"20\d\d-\d\d-\d\dT\d\d:\d\d:00\+00:00"
    expected = rf"30 rows of 3 series, {time} to {time}, [\d.]+ KiB: {re.escape(str(file))}\n"
    assert re.fullmatch(expected, ended.out)
    table = pa.parquet.read_table(file)
    assert table.num_rows == 30
    assert set(table["vm.id"].to_pylist()) == {fleet.db}
    assert set(table["unit"].to_pylist()) == {"By/s", "1"}
    assert [path.name for path in tmp_path.iterdir()] == ["net.parquet"]
    assert file.stat().st_mode & 0o777 == 0o666 & ~_mask()


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_name_of_a_file_says_its_form(novacron: Novacron, tmp_path: Path) -> None:
    asked = ("export", "vm.cpu.utilization", "--from", "-10m", "--step", "1m", "-o")
    for name in ("a.parquet", "a.ARROW", "a.csv"):
        assert novacron(*asked, str(tmp_path / name)).code == 0

    tables = [
        pa.parquet.read_table(tmp_path / "a.parquet"),
        pa.ipc.open_stream((tmp_path / "a.ARROW").read_bytes()).read_all(),
        pa.csv.read_csv(tmp_path / "a.csv"),
    ]
    assert len({table.num_rows for table in tables}) == 1
    assert len({tuple(table.column_names) for table in tables}) == 1


def test_a_pipe_gets_csv(novacron: Novacron, fleet: SampleFleet) -> None:
    asked = ("export", "vm.cpu.utilization", "--step", "raw", "--where", f"entity={fleet.web}")

    for ended in (novacron(*asked), novacron(*asked, "-o", "-")):
        lines = ended.out.splitlines()
        assert lines[0] == '"time","metric","entity","unit","value"'
        assert len(lines) == 61
        assert lines[1].endswith(f'Z","vm.cpu.utilization","{fleet.web}","1",0.5')


def test_json_tells_of_the_file(novacron: Novacron, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"

    ended = novacron("export", "vm.cpu.utilization", "--over", "max", "--json", "-o", str(file))

    told = json.loads(ended.out)
    assert (told["file"], told["bytes"]) == (str(file), file.stat().st_size)
    assert told["rows"] == len(file.read_text().splitlines()) - 1
    assert told["start"] < told["end"]


def test_a_file_that_is_there_is_replaced_on_request_alone(
    novacron: Novacron, tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    file.write_text("mine")
    asked = ("export", "vm.cpu.utilization", "-o", str(file))

    refused = novacron(*asked)
    assert (refused.code, refused.err) == (
        2, f"novacron: {file} is there already: --force replaces it\n"
    )  # fmt: skip
    assert file.read_text() == "mine"

    assert novacron(*asked, "--force").code == 0
    assert file.read_text().startswith('"time"')


def test_what_fails_leaves_no_file_and_the_old_one_as_it_was(
    novacron: Novacron, tmp_path: Path
) -> None:
    file = tmp_path / "a.parquet"
    file.write_text("mine")

    ended = novacron("export", "no.such", "-o", str(file), "--force")

    assert (ended.code, ended.err) == (1, "novacron: no metric 'no.such' was ever received\n")
    assert file.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [file]


@pytest.fixture
def file_of_another(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A collector while whose answer comes somebody else writes the file: its URL, and the file."""
    file = tmp_path / "a.csv"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "6")
            for name, value in (("Rows", "1"), ("Series", "1"), ("From", _THEN), ("To", _THEN)):
                self.send_header(f"Novacron-{name}", value)
            self.end_headers()
            self.wfile.write(b"ti")
            file.write_text("mine")
            self.wfile.write(b"me\n1")

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", file
        server.shutdown()
        thread.join()


_THEN = "2026-11-24T12:00:00.000+00:00"


def _no_links(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_replaced_on_request_alone(
    novacron: Novacron,
    file_of_another: tuple[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    links: bool,
) -> None:
    if not links:  # as on FAT
        monkeypatch.setattr(os, "link", _no_links)
    url, file = file_of_another
    asked = ("export", "m", "-o", str(file), "--url", url)

    refused = novacron(*asked)

    assert (refused.code, refused.err) == (
        2, f"novacron: {file} is there already: --force replaces it\n"
    )  # fmt: skip
    assert file.read_text() == "mine"
    assert novacron(*asked, "--force").code == 0
    assert file.read_text() == "time\n1"
    assert list(file.parent.iterdir()) == [file]


def test_files_are_written_where_each_has_one_name_only(
    novacron: Novacron, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", _no_links)  # as on FAT
    file = tmp_path / "a.csv"

    assert novacron("export", "vm.cpu.utilization", "-o", str(file)).code == 0

    assert file.read_text().startswith('"time"')
    assert list(tmp_path.iterdir()) == [file]


@pytest.fixture
def broken_off() -> Iterator[str]:
    """A collector that ends in the middle of its answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            for name in () if "elsewhere" in self.path else ("Rows", "Series", "From", "To"):
                self.send_header(f"Novacron-{name}", "1")
            self.end_headers()
            self.wfile.write(b"PAR1")

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_answer_that_is_broken_off_leaves_no_file(
    novacron: Novacron, broken_off: str, tmp_path: Path
) -> None:
    asked = ("export", "m", "-o", str(tmp_path / "a.parquet"), "--url")

    ended = novacron(*asked, broken_off)
    assert ended.code == 3
    assert "broke off its answer" in ended.err
    assert "is that the collector's API?" in novacron(*asked, f"{broken_off}/elsewhere").err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("-o", "cpu.xlsx"), 2, "-o cpu.xlsx: expected a name that ends in .parquet, .arrow, .csv"),
        (("-o", "/no/such/folder/a.csv"), 2, "/no/such/folder/a.csv: No such file or directory"),
        (("--where", "team"), 1, "where: 'team': expected LABEL=VALUE"),
        (("--step", "often"), 1, "step: expected a time"),
        (("--over", "rate"), 1, "vm.cpu.utilization is no counter"),
        (("--url", "http://127.0.0.1:9"), 3, "the collector does not answer"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    novacron: Novacron, words: tuple[str, ...], code: int, message: str
) -> None:
    ended = novacron("export", "vm.cpu.utilization", *words)

    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_a_terminal_is_not_flooded(url: str) -> None:
    leader, follower = pty.openpty()
    done = subprocess.run(
        (PROGRAM, "export", "vm.cpu.utilization", "--url", url), stdout=follower, stderr=-1
    )
    os.close(follower)
    os.close(leader)

    assert done.returncode == 2
    assert done.stderr == (
        b"novacron: a table is for a file or a program: say -o FILE, or | PROGRAM\n"
    )
