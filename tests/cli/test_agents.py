"""novacron agent and novacron ingest-token, on an API whose admin asks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy import Engine

from api.test_enrolment import joined
from cli.conftest import serving
from cli.runs import Ended
from command_world import commands_of
from enrolments import PIN, enrolment_of
from novacron_cli.main import main
from novacron_collector.api.services import Services
from novacron_contract.access import Role
from novacron_contract.errors import Unavailable
from novacron_store.state import Agent, Agents, Inventory
from novacron_store.state.ingest_tokens import IngestTokens
from principals import access_of, signed_in

pytestmark = pytest.mark.parametrize("state_kind", ["sqlite"])  # no matter here


def away() -> NoReturn:
    raise Unavailable("the store is away")


@dataclass
class World:
    engine: Engine
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str) -> Ended:
        code = main(words)
        told = self.capsys.readouterr()
        return Ended(code, told.out, told.err)


@pytest.fixture
def world(
    engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
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
    monkeypatch.setenv("NOVACRON_TOKEN", signed_in(engine, Role.ADMIN)["Authorization"][7:])
    with serving(services) as url:
        monkeypatch.setenv("NOVACRON_URL", url)
        yield World(engine, capsys)


def test_an_invitation_is_one_line_to_run_on_the_host(world: World) -> None:
    ended = world.run("agent", "invite", "--ttl", "8h", "--uses", "2", "--name", "rack 4")
    line = rf"echo 'https://collector\.example\.com:8441#{PIN}:nvj_\S{{43}}' \| sudo \S+ join\n"
    assert re.fullmatch(line, ended.out)
    assert re.fullmatch(r"run on each of 2 hosts, until 20\S+:\n", ended.err)
    listed = world.run("agent", "invitations").out
    assert re.search(r"rack 4 +0 of 2", listed)
    token_id = json.loads(world.run("agent", "invitations", "--json").out)["join_tokens"][0]["id"]
    ended = world.run("agent", "uninvite", token_id)
    assert ended.out == f"{token_id}: nobody joins by it any more\n"
    assert world.run("agent", "invitations").out.endswith("no invitations\n")


def test_what_cannot_be_is_told_in_one_line(world: World) -> None:
    ended = world.run("agent", "invite", "--address", "elsewhere.example.com:8441")
    assert (ended.code, "[tls] names" in ended.err, ended.err.count("\n")) == (1, True, 1)
    ended = world.run("agent", "revoke", "nobody")
    assert (ended.code, "no agent has joined as 'nobody'" in ended.err) == (1, True)
    with pytest.raises(SystemExit):
        world.run("agent", "invite", "--ttl", "soon")


def test_agents_are_listed_shown_renamed_and_revoked(world: World) -> None:
    agent_id = joined(world.engine)
    now = datetime.now(UTC)
    Agents(world.engine).see(Agent(agent_id, "h-1", "0.1.0", 10.0, None, now))
    listed = world.run("agent", "list").out
    assert re.search(rf"kvm-7 +active +\S+ m?s ago +h-1 .*{agent_id}", listed)
    shown = world.run("agent", "show", "kvm-7").out
    assert re.search(r"joined +20\S+ from 192.0.2.7\n", shown)
    assert re.search(r"5a +20\S+ +never +20\S+", shown)
    assert world.run("agent", "rename", agent_id, "db").out == f"{agent_id} is db now\n"
    assert world.run("agent", "revoke", "db", "--reason", "sold").out == "db: revoked\n"
    assert re.search(r"standing +revoked: sold\n", world.run("agent", "show", "db").out)
    assert world.run("agent", "revoke", "db").code == 1


def test_tokens_of_senders_are_made_listed_and_revoked(world: World) -> None:
    ended = world.run("ingest-token", "create", "prometheus", "--days", "30")
    assert re.fullmatch(r"nci_\S{43}\n", ended.out)
    assert re.fullmatch(r"prometheus \(\S+\) holds until 20\S+; it is shown this once\n", ended.err)
    token = IngestTokens(world.engine).all()[0]
    assert re.search(rf"{token.id} +prometheus .* never", world.run("ingest-token", "list").out)
    assert world.run("ingest-token", "revoke", token.id).out == f"{token.id}: revoked\n"
    listed: Any = json.loads(world.run("ingest-token", "list", "--json").out)
    assert listed["ingest_tokens"][0]["revoked"]


def test_a_file_that_is_no_authority_is_told(world: World, tmp_path: Path) -> None:
    ended = world.run("agent", "list", "--ca-file", str(tmp_path / "none.pem"))
    assert (ended.code, "--ca-file" in ended.err) == (2, True)
