"""`novacron-agent check`: what is not there is named, with the remedy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from certificates import Certificates, certificates
from novacron_agent.check.clock import check_clock
from novacron_agent.check.guests import check_guests
from novacron_agent.cli import main
from novacron_agent.host.clock import Timex
from novacron_agent.settings import Settings
from otlp_grpc_receiver import otlp_grpc_receiver, refusing
from otlp_receiver import Response, otlp_receiver


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


def written(place: Path, rest: str = "", endpoint: str = "") -> Path:
    path = place / "agent.toml"
    to = f'endpoint = "{endpoint}"\n' if endpoint else ""
    path.write_text(f'[agent]\nid_file = "{place}/agent-id"\n{to}{rest}')
    return path


def table(endpoint: str, **options: Path) -> str:
    lines = (f'{name} = "{value}"\n' for name, value in options.items())
    return f'[[destinations]]\nname = "there"\nendpoint = "{endpoint}"\n{"".join(lines)}'


def lines(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main(["check", "--config", str(path)])
    return status, capsys.readouterr().out


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    provider = '[provider]\nname = "kvm"\nuri = "test:///default"\n'
    with otlp_receiver() as http, otlp_grpc_receiver() as grpc:
        url = http.url if kind == "http" else f"grpc://{grpc.address}"
        status, shown = lines(written(tmp_path, provider, url), capsys)
        received = [*http.received, *grpc.received]

    assert status == 0
    assert "FAIL" not in shown
    assert f"ok    destination default ({url}): takes metrics" in shown
    assert "ok    libvirt test:///default: 1 guest; it tells of changes" in shown
    assert f"ok    spool {tmp_path}/spool: will be made in {tmp_path}" in shown
    assert [one.points for one in received] == [0]
    assert [p.name for p in tmp_path.iterdir()] == ["agent.toml"], "nothing is left behind"


def test_an_empty_file_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "agent.toml").touch()

    _status, shown = lines(tmp_path / "agent.toml", capsys)

    assert "the settings are valid" in shown
    assert "destination default (http://127.0.0.1:4318): " in shown


def test_bad_settings_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, '[provider]\nname = "kvm"\nurl = 1\n')

    assert main(["check", "--config", str(path)]) == 2

    assert capsys.readouterr().err.startswith(f"novacron-agent: {path}: provider: url: unknown")


@pytest.mark.parametrize(
    ("status", "level", "remedy"),
    [
        (401, "FAIL", "put a token it knows into headers_file"),
        (403, "FAIL", "the right to write metrics"),
        (404, "FAIL", "correct the path of endpoint"),
        (400, "FAIL", "is it an OTLP receiver there?"),
        (503, "warn", "the agent waits and tries again"),
    ],
)
def test_what_a_receiver_answers_has_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, level: str, remedy: str
) -> None:
    hostile = "no\x1b[2J\nok    all is well"
    with otlp_receiver() as receiver:
        receiver.will_answer(Response(status, hostile.encode()))
        ended, shown = lines(written(tmp_path, endpoint=receiver.url), capsys)

    [line] = [line for line in shown.splitlines() if f"HTTP {status}" in line]
    assert line.startswith(level)
    assert remedy in line
    assert ended == (level == "FAIL")
    assert "\x1b" not in shown
    assert not any(line.startswith("ok    all") for line in shown.splitlines())


def test_what_a_grpc_receiver_answers_has_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with otlp_grpc_receiver() as receiver:
        receiver.will_answer(refusing("UNAUTHENTICATED"))
        ended, shown = lines(written(tmp_path, endpoint=f"grpc://{receiver.address}"), capsys)

    assert ended == 1
    assert "UNAUTHENTICATED" in shown
    assert "put a token it knows into headers_file" in shown


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_tls_that_does_not_trust_has_a_remedy(
    tmp_path: Path, tls: Certificates, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    with (
        otlp_receiver(tls=tls.server_context(False)) as http,
        otlp_grpc_receiver(credentials=tls.grpc_credentials(False)) as grpc,
    ):
        url = http.url if kind == "http" else f"grpcs://{grpc.address}"
        bad, distrust = lines(written(tmp_path, table(url)), capsys)
        good, trust = lines(written(tmp_path, table(url, ca_file=tls.ca)), capsys)

    assert (bad, good) == (1, 0)
    assert "set ca_file to the authority that signed its certificate" in distrust
    assert "takes metrics" in trust


def test_a_receiver_without_tls_is_asked_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with otlp_receiver() as receiver:
        url = receiver.url.replace("http:", "https:")
        _status, shown = lines(written(tmp_path, table(url)), capsys)

    assert "it does not speak TLS there: use http://" in shown


def test_nobody_there_and_a_name_that_does_not_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = table("http://127.0.0.1:9") + table("http://nowhere.invalid:9").replace("there", "none")
    _status, shown = lines(written(tmp_path, rest), capsys)

    assert "refused; start the receiver there" in shown
    assert "correct the name in endpoint" in shown


def test_a_libvirt_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"qemu+unix:///system?socket={tmp_path}/none"
    status, shown = lines(written(tmp_path, f'[provider]\nname="kvm"\nuri="{uri}"\n'), capsys)

    assert status == 1
    assert "No such file or directory; is it installed and running? apt-get install" in shown


def test_a_libvirt_that_hangs_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novacron_agent.check.command.PATIENCE_S", 1.0)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "sock"))
        silent.listen()
        uri = f"qemu+unix:///system?socket={tmp_path}/sock"
        started = time.monotonic()
        status, shown = lines(written(tmp_path, f'[provider]\nname="kvm"\nuri="{uri}"\n'), capsys)

    assert status == 1
    assert "no answer within 1 s; restart it" in shown
    assert time.monotonic() - started < 5


def test_a_libvirt_nobody_asks_for_is_named(tmp_path: Path) -> None:
    (tmp_path / "sock").touch()

    [found] = check_guests(Settings(), Path("agent.toml"), 1.0, [tmp_path / "sock"])

    assert str(found).startswith("warn  guests: libvirt runs here")
    assert 'write into agent.toml: [provider] name = "kvm"' in found.fix


def test_secrets_that_everybody_may_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "headers"
    secret.write_text("Authorization: Bearer sesame\n")
    path = written(tmp_path, table("http://127.0.0.1:9", headers_file=secret))
    secret.chmod(0o644)
    _status, loose = lines(path, capsys)
    secret.chmod(0o640)
    _status, tight = lines(path, capsys)

    assert f"everybody on this machine may read it; chmod o-rwx {secret}" in loose
    assert f"ok    destination there: headers_file {secret}: readable" in tight
    assert "sesame" not in loose + tight


def test_folders_and_secrets_that_are_not_for_this_user(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o555)
    secret = tmp_path / "headers"
    secret.write_text("Authorization: Bearer sesame\n")
    secret.chmod(0o000)
    path = written(tmp_path, table("http://127.0.0.1:9", headers_file=secret))
    path.write_text(path.read_text().replace(f"{tmp_path}/agent-id", f"{state}/agent-id"))
    command = [sys.executable, "-m", "novacron_agent", "check", "--config", str(path)]
    if os.geteuid() == 0:  # without the rights by which root passes by all permissions
        command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 1, done.stderr
    assert f"FAIL  id file {state}/agent-id: {state} is not writable; let the user" in done.stdout
    assert f"FAIL  spool {state}/spool: {state} is not writable" in done.stdout
    assert f"headers_file {secret}: cannot be read: Permission denied" in done.stdout
    assert "Traceback" not in done.stderr


def test_an_id_file_that_holds_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agent-id").write_text("rubbish")

    status, shown = lines(written(tmp_path), capsys)

    assert status == 1
    assert "holds no UUID; delete it and a new one is made" in shown


@contextmanager
def dated(offset_s: float) -> Iterator[str]:
    """A receiver whose clock is so far behind ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response_only(200)
            self.send_header("Date", formatdate(time.time() - offset_s, usegmt=True))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("offset_s", "level", "told"),
    [
        (0, "ok", "the same as here"),
        (60, "warn", "60 s ahead of it"),
        (900, "FAIL", "900 s ahead of it, and what is 10 min ahead is refused"),
        (-900, "FAIL", "s behind it"),
    ],
)
def test_a_clock_that_differs_from_the_receivers(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    offset_s: float,
    level: str,
    told: str,
) -> None:
    with dated(offset_s) as url:
        status, shown = lines(written(tmp_path, endpoint=url), capsys)

    [line] = [line for line in shown.splitlines() if f"({url}): clock" in line]
    assert line.startswith(level)
    assert told in line.replace("59 s", "60 s").replace("899 s", "900 s")
    assert status == (level == "FAIL")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((5, Timex()), "warn  clock: nothing keeps it synchronized; install chrony"),
        ((0, Timex(maxerror=2000)), "ok    clock: synchronized, at most 0.002 s off"),
        (None, "ok    clock: this sandbox forbids to ask for it"),
    ],
)
def test_what_the_kernel_knows_of_the_clock(answer: tuple[int, Timex] | None, told: str) -> None:
    [found] = check_clock(lambda: answer)

    assert str(found).startswith(told)
