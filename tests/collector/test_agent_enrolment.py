"""How an agent joins and stays known: its command, its files, and what it does by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from enrolled import Agent, World, enrolling
from free_ports import free_port
from novacron_agent.check.identity import check_identity
from novacron_agent.delivery.delivery import client
from novacron_agent.enrolment.invitation import invitation
from novacron_agent.enrolment.membership import read_membership, state, write_membership
from novacron_agent.enrolment.renewal import Renewal, renewed_apart
from novacron_agent.settings import read_settings
from novacron_contract.errors import ConfigError
from novacron_otlp.answer import Accepted
from novacron_otlp.connection import Connection, open_transport
from novacron_store.state.identities import Standing
from novacron_store.state.join_tokens import JoinTokens

SECRET = "nvj_" + "s" * 43
PIN = "p" * 43
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with enrolling(tmp_path_factory.mktemp("world")) as world:
        yield world


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- the line -------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["collector.example.com", "192.0.2.1", "[2001:db8::1]"])
def test_a_line_says_where_who_and_by_what(host: str) -> None:
    found = invitation(f"  https://{host}:8441#{PIN}:{SECRET}\n")
    assert (found.url, found.pin, found.secret) == (f"https://{host}:8441", PIN, SECRET)
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"http://host:8441#{PIN}:{SECRET}",
        f"https://host#{PIN}:{SECRET}",
        f"https://host:8441#{PIN}",
        f"https://host:8441#{PIN[1:]}:{SECRET}",
        f"https://host:8441#{PIN}:nct_{SECRET[4:]}",
        f"https://user@host:8441#{PIN}:{SECRET}",
        f"https://host:99999#{PIN}:{SECRET}",
        f"https://[::1#{PIN}:{SECRET}",
        f"https://host:8441?x#{PIN}:{SECRET}",
    ],
)
def test_what_is_no_line_is_told_without_being_repeated(line: str) -> None:
    with pytest.raises(ConfigError, match="that `novacron agent invite` prints") as told:
        invitation(line)
    assert SECRET not in str(told.value)


# -- joining --------------------------------------------------------------------------------------


def test_joining_leaves_files_for_the_agents_eyes_alone(world: World) -> None:
    agent = world.agent("files", "h-files")
    ended = agent.join(world.line())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"joined https://{world.collector.agents} as agent {agent.id}\n"
    folder = agent.folder / "identity"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "agent.pem": 0o600,
        "ca.pem": 0o600,
        "membership.json": 0o600,
    }
    (there,) = read_settings(agent.config).all_destinations
    assert there.endpoint == f"https://{world.collector.agents}"
    assert agent.run("check").stdout.count(f"joined https://{world.collector.agents}") == 1
    ended = world.agent("same-host", "h-files").join(world.line())
    assert (ended.returncode, "has an identity already" in ended.stderr) == (1, True)


def test_files_belong_to_whoever_has_the_agents_folder(world: World) -> None:
    if os.geteuid() != 0:
        pytest.fail("these tests run as root")
    agent = world.agent("owner", "h-owner")
    os.chown(agent.folder, 65534, 65534)
    assert agent.join(world.line()).returncode == 0
    for path in (agent.folder / "agent-id", *(agent.folder / "identity").rglob("*")):
        assert (path.name, path.stat().st_uid) == (path.name, 65534)


def test_who_has_joined_says_so_and_joins_again_when_told(world: World) -> None:
    agent = world.joined("twice", "h-twice")
    before = agent.membership
    ended = agent.join(world.line())
    assert (ended.returncode, "to join anew add --again" in ended.stderr) == (1, True)
    known = agent.join(world.line(), "--again")
    assert (known.returncode, f"novacron agent revoke {agent.id}" in known.stderr) == (1, True)
    assert agent.membership == before
    world.identities.end(agent.id, Standing.REVOKED, "", datetime.now(UTC))
    assert agent.join(world.line(), "--again").returncode == 0
    assert agent.membership.serial != before.serial


def test_a_server_with_another_authority_is_told_nothing(world: World) -> None:
    agent, secret = world.agent("pin", "h-pin"), world.secret()
    ended = agent.join(world.line(secret, pin=PIN))
    assert (ended.returncode, "Nothing was told to it" in ended.stderr) == (1, True)
    assert read_membership(agent.folder / "identity") is None
    assert JoinTokens(world.state).check(secret, datetime.now(UTC)).uses == 0


@pytest.mark.parametrize(
    ("uses", "lasts", "why"),
    [(1, timedelta(hours=1), "is used up"), (9, timedelta(seconds=0), "has expired")],
)
def test_a_used_or_expired_line_is_told(
    world: World, uses: int, lasts: timedelta, why: str
) -> None:
    secret = world.secret(uses, lasts)
    if uses == 1:
        assert world.agent("first", "h-first").join(world.line(secret)).returncode == 0
    ended = world.agent(f"late-{uses}", f"h-late-{uses}").join(world.line(secret))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"novacron-agent: this join token {why}: `novacron agent invite` makes another\n"
    )


def test_an_address_that_cannot_be_reached_is_told(world: World) -> None:
    agent, port = world.agent("nowhere", "h-nowhere"), free_port()
    for host, why in (("127.0.0.1", "not reachable"), ("no.such.invalid", "no such name")):
        ended = agent.join(f"https://{host}:{port}#{PIN}:{SECRET}")
        assert (ended.returncode, why in ended.stderr) == (1, True), ended.stderr
        assert ended.stderr.count("\n") == 1
    plain = agent.join(f"https://{world.collector.http[7:]}#{PIN}:{SECRET}")
    assert (plain.returncode, "TLS failed" in plain.stderr) == (1, True), plain.stderr


def test_a_name_that_the_certificate_has_not_is_told(tmp_path: Path) -> None:
    port = free_port()
    with enrolling(tmp_path, listen=f'agents = "0.0.0.0:{port}"\n') as world:
        agent = world.agent("misnamed")
        ended = agent.join(f"https://127.0.0.2:{port}#{world.pin}:{world.secret()}")
        assert (ended.returncode, "add it to [tls] names" in ended.stderr) == (1, True)


def test_over_ipv6(tmp_path: Path) -> None:
    port = free_port()
    with enrolling(tmp_path, listen=f'agents = "[::1]:{port}"\n') as world:
        agent = world.agent("six")
        ended = agent.join(f"https://[::1]:{port}#{world.pin}:{world.secret()}")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert agent.membership.url == f"https://[::1]:{port}"
        with agent.client() as asked:
            assert asked.post("/v1/agents/renew", json={}).status_code == 400
        assert world.identities.identity(agent.id).joined_from == "::1"


def test_no_secret_is_in_a_command_line(world: World) -> None:
    """The line comes by standard input, and what it becomes goes out by a socket."""
    agent, secret = world.agent("argv", "h-argv"), world.secret()
    command = [sys.executable, "-m", "novacron_agent", "--config", str(agent.config), "join"]
    seen: list[bytes] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(f"{world.line(secret)}\n".encode())
        process.stdin.close()
        while process.poll() is None:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(path.read_bytes())
                except OSError:
                    continue
    assert process.returncode == 0
    assert any(b"novacron_agent" in one for one in seen)
    assert not any(secret.encode() in one for one in seen)


# -- staying known --------------------------------------------------------------------------------


def aged(agent: Agent) -> None:
    """As after two thirds of the certificate's life."""
    known, now = agent.membership, time.time()
    write_membership(replace(known, begins=now - 300, ends=now + 100))


@contextmanager
def renewing(agent: Agent, joined: Callable[[], None] = lambda: None) -> Iterator[None]:
    renewal = Renewal(agent.folder / "identity", joined, look_every_s=0.05)
    renewal.start()
    try:
        yield
    finally:
        renewal.stop()


def test_a_certificate_is_renewed_in_time_and_taken_up_without_a_failure(world: World) -> None:
    agent = world.joined("renewal", "h-renewal")
    (there,) = read_settings(agent.config).all_destinations
    sent = Connection(partial(open_transport, there, client("0.1.0")), there.certificates)
    empty = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    assert isinstance(sent.send(empty), Accepted)
    first, before = agent.membership.serial, state(agent.folder / "identity")
    aged(agent)
    with renewing(agent):
        until(lambda: agent.membership.serial != first)
    assert state(agent.folder / "identity") != before
    assert isinstance(sent.send(empty), Accepted)
    sent.close()
    used = {one.serial: one.used for one in world.identities.certificates(agent.id)}
    assert used[agent.membership.serial] is not None
    assert read_membership(agent.folder / "identity") == agent.membership


def test_a_renewal_that_fails_says_why_and_changes_nothing(world: World) -> None:
    agent = world.joined("unrenewed", "h-unrenewed")
    before = (agent.folder / "identity" / "agent.pem").read_bytes()
    world.identities.end(agent.id, Standing.REVOKED, "sold", datetime.now(UTC))
    until(lambda: "this agent is revoked: sold" in renewed_apart(agent.folder / "identity"))
    assert (agent.folder / "identity" / "agent.pem").read_bytes() == before


def test_an_agent_that_runs_sees_that_it_joined(world: World) -> None:
    agent, joined = world.agent("seen", "h-seen"), threading.Event()
    with renewing(agent, joined.set):
        assert agent.join(world.line()).returncode == 0
        assert joined.wait(PATIENCE_S)


def test_a_running_agent_sends_to_the_collector_it_joins(world: World) -> None:
    """Without a restart, and without a word in its settings."""
    agent = world.agent("running", "h-running")
    command = [sys.executable, "-m", "novacron_agent", "--config", str(agent.config)]
    with (
        (agent.folder / "log").open("w") as log,
        subprocess.Popen(command, stderr=log) as process,
    ):
        try:
            log_of = (agent.folder / "log").read_text
            until(lambda: "every 1 s, to http://127.0.0.1:4318" in log_of())
            assert agent.join(world.line()).returncode == 0
            until(lambda: "first export" in log_of())
            assert "cryptography" not in Path(f"/proc/{process.pid}/maps").read_text()
        finally:
            process.terminate()
    assert world.identities.certificates(agent.id)[0].used is not None
    told = agent.run("status").stdout
    assert f"joined https://{world.collector.agents}: certificate" in told


def test_a_host_that_is_seen_from_elsewhere_is_bound_by_its_first_telemetry(world: World) -> None:
    agent = world.joined("elsewhere", None)
    assert world.identities.identity(agent.id).host_id is None
    command = [sys.executable, "-m", "novacron_agent", "--config", str(agent.config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        until(lambda: world.identities.identity(agent.id).host_id)
        process.terminate()


# -- check ----------------------------------------------------------------------------------------


def test_check_tells_how_long_it_holds(world: World) -> None:
    agent = world.joined("checked", "h-checked")
    folder = agent.folder / "identity"
    now, life = time.time(), agent.membership.ends - agent.membership.begins

    def told(after_s: float) -> str:
        return str(check_identity(folder, lambda: now + after_s)[0])

    assert told(0).startswith("ok")
    assert "is not renewed and ends" in told(life * 0.9)
    assert "its certificate ended" in told(life)
    (folder / "agent.pem").write_text("nonsense")
    assert "join again" in told(0)
    (folder / "membership.json").write_text("[")
    assert "is damaged: join again with --again" in told(0)
    shutil.rmtree(folder)
    assert "has joined no collector" in told(0)
