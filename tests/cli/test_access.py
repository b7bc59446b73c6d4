"""Logging in, users, tokens and the audit, as on a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import Engine

from cli.conftest import serving
from cli.runs import Ended
from command_world import commands_of
from enrolments import enrolment_of
from novacron_cli.main import main
from novacron_collector.api.services import Services
from novacron_contract.access import SYSTEM, Grant, Role, scope
from novacron_contract.errors import Unavailable
from novacron_store.state import Agents, Audit, Caller, Inventory, Users, migrate, open_state
from novacron_store.state.audit import Wanted
from principals import QUICK, access_of

PASSWORD = "correct horse battery"


def away() -> NoReturn:
    raise Unavailable("the store is away")


@dataclass
class World:
    state: Engine
    config: Path
    home: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def user(self, name: str, *grants: Grant) -> None:
        Users(self.state).add(name, QUICK.hash(PASSWORD.encode()), grants, Caller(SYSTEM))

    def run(self, *words: str, typed: str = "") -> Ended:
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = main(words)
        captured = self.capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    def login(self, name: str, password: str = PASSWORD) -> Ended:
        return self.run("login", name, typed=f"{password}\n")

    @property
    def credentials(self) -> Path:
        return self.home / "novacron" / "credentials.json"


@pytest.fixture
def world(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    engine = open_state(f"sqlite:///{tmp_path}/state.db")
    migrate(engine)
    config = tmp_path / "collector.toml"
    config.write_text(
        f'[state]\nurl = "sqlite:///{tmp_path}/state.db"\n[access]\nanonymous = true\n'
    )
    access = access_of(engine)
    services = Services(
        inventory=Inventory(engine),
        agents=Agents(engine),
        access=access,
        commands=commands_of(engine, access),
        enrolment=enrolment_of(engine),
        telemetry=away,
        reader=away,
        version="0.1.0",
        started=datetime.now(UTC),
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NOVACRON_TOKEN", raising=False)
    with serving(services) as url:
        monkeypatch.setenv("NOVACRON_URL", url)
        yield World(engine, config, tmp_path / "home", capsys, monkeypatch)
    engine.dispose()


@pytest.fixture
def admin(world: World) -> World:
    world.user("root", Grant(Role.ADMIN))
    assert world.login("root").code == 0
    return world


def test_the_first_admin_is_made_on_the_machine_and_logs_in(world: World) -> None:
    add = ("user", "add", "root", "--admin", "--config", str(world.config))
    assert world.run(*add, typed=f"{PASSWORD}\n") == Ended(0, "root: added\n", "")

    ended = world.login("root")
    assert re.fullmatch(r"logged in as root until 20\S+\n", ended.out)
    told = world.run("whoami").out
    assert re.search(r"Name +root\n", told)
    assert re.search(r"May +read, vm.power, vm.manage, administer\n", told)
    again = world.run("user", "add", "eve", *add[3:], typed=f"{PASSWORD}\n")
    assert (again.code, "there are users already" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("root", "short", "shorter than 10"),
        ("Root", PASSWORD, "name: expected"),
        ("root", "", "a password is missing"),
    ],
)
def test_a_first_admin_that_cannot_be_is_refused_in_one_line(
    world: World, name: str, password: str, said: str
) -> None:
    add = ("user", "add", name, "--admin", "--config", str(world.config))
    ended = world.run(*add, typed=f"{password}\n")
    assert (ended.code, said in ended.err, ended.err.count("\n")) == (2, True, 1)


def test_a_session_is_kept_for_its_owner_alone_until_the_end(world: World) -> None:
    world.user("ann", Grant(Role.VIEWER))
    world.login("ann")
    assert world.credentials.stat().st_mode & 0o777 == 0o600
    assert world.credentials.parent.stat().st_mode & 0o077 == 0
    kept = json.loads(world.credentials.read_text())[os.environ["NOVACRON_URL"]]
    assert (kept["name"], kept["token"][:4]) == ("ann", "nvs_")

    assert world.run("logout").out == "logged out\n"
    assert json.loads(world.credentials.read_text()) == {}
    assert world.run("logout").out == "there was no session\n"
    world.monkeypatch.setenv("NOVACRON_TOKEN", kept["token"])
    assert world.run("whoami").code == 4


def test_credentials_that_others_can_read_are_not_used(admin: World) -> None:
    admin.credentials.chmod(0o644)
    ended = admin.run("whoami")
    assert (ended.code, "chmod 600" in ended.err) == (2, True)


def test_a_credential_does_not_go_out_in_the_clear(admin: World) -> None:
    admin.monkeypatch.setenv("NOVACRON_TOKEN", "nct_secret")
    url = ("--url", "http://192.0.2.1:8440")
    for words in (("whoami",), ("login", "ann")):
        ended = admin.run(*words, *url, typed=f"{PASSWORD}\n")
        assert (ended.code, "https:// alone" in ended.err) == (2, True)
        assert "nct_secret" not in ended.err


def test_who_is_not_let_in_or_may_not_is_told_by_the_exit_code(world: World) -> None:
    world.user("ann", Grant(Role.OPERATOR))
    assert world.login("ann", "wrong password").code == 4
    assert world.run("user", "list").code == 4
    world.login("ann")
    ended = world.run("audit", "list")
    assert (ended.code, "no right of administer" in ended.err) == (4, True)


def test_an_admin_keeps_users(admin: World) -> None:
    add = ("user", "add", "bob", "--grant", "viewer", "--grant", "operator@host:h1")
    assert admin.run(*add, "--reason", "hired", typed=f"{PASSWORD}\n").out == "bob: added\n"
    assert re.search(r"bob +operator@host:h1, viewer +20\S+ *\n", admin.run("user", "list").out)
    assert admin.run("user", "grant", "bob", "vm-admin@tag:team=web").code == 0
    assert admin.run("user", "grant", "bob").code == 2
    assert admin.run("user", "disable", "bob").out == "bob: disabled\n"
    assert re.search(r"vm-admin@tag:team=web .* since 20", admin.run("user", "list").out)
    assert admin.run("user", "enable", "bob").code == 0
    assert admin.run("user", "grant", "bob", "--none").code == 0
    assert json.loads(admin.run("user", "list", "--json").out)["users"][0]["grants"] == []
    assert admin.run("user", "remove", "bob").out == "bob: removed\n"
    last = admin.run("user", "remove", "root")
    assert (last.code, "last admin" in last.err) == (1, True)
    wrong = admin.run("user", "grant", "bob", "king@fleet")
    assert (wrong.code, "roles: viewer, operator" in wrong.err) == (2, True)


def test_passwords_are_changed_by_oneself_an_admin_and_on_the_machine(admin: World) -> None:
    admin.user("ann", Grant(Role.VIEWER))
    assert admin.run("user", "password", "ann", typed="another password\n").code == 0
    admin.login("ann", "another password")
    changed = admin.run("user", "password", typed="another password\nthe third password\n")
    assert changed == Ended(0, "ann: has the new password\n", "")
    reset = ("user", "reset-password", "ann", "--config", str(admin.config))
    assert admin.run(*reset, "--reason", "forgotten", typed="the fourth password\n").code == 0
    assert admin.run("whoami").code == 4, "sessions of the old password have ended"
    assert admin.login("ann", "the fourth password").code == 0
    row = Audit(admin.state).rows(Wanted(action="user.password"))[0]
    assert (row.actor_kind, row.reason) == ("system", "forgotten")
    assert "on the machine" in row.actor_name
    nobody = admin.run("user", "reset-password", "eve", *reset[3:], typed="the fifth password\n")
    assert (nobody.code, "no user has the name 'eve'" in nobody.err) == (2, True)


def test_a_token_is_written_once_and_works_from_a_file_and_the_environment(
    admin: World, tmp_path: Path
) -> None:
    made = admin.run("token", "create", "ci", "--grant", "viewer", "--days", "30")
    assert re.fullmatch(r"nct_[\w-]{43}\n", made.out)
    assert "shown this once" in made.err
    file = tmp_path / "token"
    file.write_text(made.out)
    told = admin.run("whoami", "--token-file", str(file), "--json").out
    assert json.loads(told)["permissions"] == ["read"]
    listed = admin.run("token", "list").out
    assert re.search(r"root +ci +nct_[\w-]{4}… +viewer +20\S+ +20\S+", listed)
    assert made.out.strip() not in listed

    identity = json.loads(admin.run("token", "list", "--json").out)["tokens"][0]["id"]
    assert admin.run("token", "revoke", identity).out == f"{identity}: revoked\n"
    admin.monkeypatch.setenv("NOVACRON_TOKEN", made.out)
    assert admin.run("whoami").code == 4
    admin.monkeypatch.setenv("NOVACRON_TOKEN", "nct_a\r\nX-Evil: 1")
    assert admin.run("whoami").code == 2


def test_the_audit_is_listed_and_verified(admin: World) -> None:
    admin.user("ann", Grant(Role.OPERATOR, scope("host:h1")))
    listed = admin.run("audit", "list", "--action", "user").out
    assert re.search(r"3 +20\S+ +novacron +user.create +user:ann +succeeded", listed)
    assert admin.run("audit", "list", "--actor", "nobody").out.endswith("no rows\n")
    assert "older rows: --before 3" in admin.run("audit", "list", "--limit", "1").out

    verified = admin.run("audit", "verify").out
    head = verified.partition("head: ")[2].strip()
    assert admin.run("audit", "verify", "--head", head).code == 0
    gone = admin.run("audit", "verify", "--head", f"99:{'0' * 64}")
    assert (gone.code, "were there and are gone" in gone.out) == (1, True)


@pytest.mark.parametrize(
    ("typed", "said"),
    [((PASSWORD, PASSWORD), "root: added"), ((PASSWORD, "another one"), "two different passwords")],
)
def test_a_terminal_asks_twice_and_shows_nothing(
    world: World, typed: tuple[str, str], said: str
) -> None:
    program = str(Path(sys.executable).with_name("novacron"))
    words = ["user", "add", "root", "--admin", "--config", str(world.config)]
    child, terminal = pty.fork()
    if child == 0:
        os.execv(program, [program, *words])
    shown = b""
    for prompt, answer in zip((b"New password: ", b"Once more: "), typed, strict=True):
        while not shown.endswith(prompt):
            shown += os.read(terminal, 1000)
        os.write(terminal, f"{answer}\n".encode())
    try:
        while more := os.read(terminal, 1000):
            shown += more
    except OSError:  # the other end was closed
        pass
    os.waitpid(child, 0)
    os.close(terminal)
    assert said in shown.decode()
    assert PASSWORD not in shown.decode()
