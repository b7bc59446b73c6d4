"""[commands] in agent.toml, what `check` says of it, and what `status` says of commands."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from novacron_agent.check.commands import findings_of
from novacron_agent.cli import main
from novacron_agent.commands.channel import Way
from novacron_agent.commands.service import Situation
from novacron_agent.commands.settings import CommandsTable
from novacron_agent.finding import Level
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.settings import read_settings
from novacron_agent.status.file import StatusFile
from novacron_agent.status.status import CommandsStatus, Status
from novacron_contract.commands import Verb
from novacron_contract.errors import ConfigError

VM = "9f1c2a4e-5b6d-4c3f-8a71-0d2e4f6a8b1c"


def written(place: Path, commands: str) -> Path:
    path = place / "agent.toml"
    path.write_text(f'[agent]\nid_file = "{place}/agent-id"\n[commands]\n{commands}\n')
    return path


def test_what_stands_there_is_what_is_allowed(tmp_path: Path) -> None:
    text = f'verbs = ["start", "stop"]\nvms = ["web-*", "{VM}"]\nparallel = 2\nenabled = true'

    table = read_settings(written(tmp_path, text)).commands

    assert table == CommandsTable(
        enabled=True, verbs=(Verb.START, Verb.STOP), vms=("web-*", VM), parallel=2
    )
    assert [verb for verb in Verb if table.allows_verb(verb)] == [Verb.START, Verb.STOP]
    assert table.allows_vm("another", "web-12")
    assert table.allows_vm(VM, "db-1")
    assert not table.allows_vm("another", "Web-12")
    assert not table.allows_vm("another", f"x{VM}")


def test_without_it_everything_is_allowed_and_an_empty_list_is_nothing() -> None:
    assert all(CommandsTable().allows_verb(verb) for verb in Verb)
    assert CommandsTable().allows_vm(VM, "any")
    assert not any(CommandsTable(verbs=()).allows_verb(verb) for verb in Verb)
    assert not CommandsTable(vms=()).allows_vm(VM, "any")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('verbs = ["destroy"]', "commands: verbs: expected one of start, stop, .*'destroy'"),
        ('verbs = "start"', "commands: verbs: expected a list"),
        ('vms = [""]', "commands: vms: expected a name, UUID or pattern"),
        (f'vms = ["{"x" * 300}"]', "commands: vms: expected a name, UUID or pattern"),
        ("vms = [7]", "commands: vms: expected text"),
        ("parallel = 0", "commands: parallel: must be at least 1"),
        ("parallel = 65", "commands: parallel: must be at most 64"),
        ('enabled = "yes"', "commands: enabled: expected true or false"),
        ("allow = true", "commands: allow: unknown; allowed: enabled, parallel, verbs, vms"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_settings(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("", 0, "ok    commands: none are taken: this agent has joined no collector"),
        ("enabled = false", 0, "ok    commands: switched off by [commands] enabled = false"),
        ("enabled = true", 0, "warn  commands: [commands] enabled = true, and this agent has join"),
    ],
)
def test_the_check_says_whether_commands_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, status: int, says: str
) -> None:
    main(["check", "--config", str(written(tmp_path, text))])

    assert says in capsys.readouterr().out


def test_the_check_says_what_the_collector_may_do(tmp_path: Path) -> None:
    joined = Situation(
        table=CommandsTable(),
        journal=tmp_path / "journal.sqlite",
        way=Way(lambda: pytest.fail("nobody is asked")),
        lifecycle=KvmLifecycle("test:///default"),
    )

    let_in, may = findings_of(joined, 10)

    assert (let_in.level, may.level) == (Level.OK, Level.OK)
    assert "lets this user in for more than looking" in let_in.why
    assert may.why == f"the collector may {', '.join(sorted(Verb))}: every VM"
    narrow = replace(joined, table=CommandsTable(verbs=(Verb.START,), vms=("a", "b")))
    assert findings_of(narrow, 10)[-1].why == "the collector may start: what 2 entries of vms name"
    nothing = replace(joined, table=CommandsTable(verbs=()))
    assert findings_of(nothing, 10)[-1].why == "the collector may nothing: every VM"
    away = replace(joined, lifecycle=KvmLifecycle(f"qemu+unix:///system?socket={tmp_path}/none"))
    assert findings_of(away, 10)[0].level is Level.FAIL
    assert "no provider" in findings_of(replace(joined, lifecycle=None), 10)[0].why


def test_status_tells_of_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = CommandsStatus(
        waiting=2, running=1, ended={"succeeded": 41, "outcome_unknown": 1}, reports=3, trouble="x"
    )
    now = Status(
        version="1",
        agent_id="a",
        pid=os.getpid(),
        started=time.time(),
        counting_since=time.time(),
        tick=time.time(),
        interval=10,
        memory=1,
        commands=commands,
    )
    config = written(tmp_path, "")
    file = StatusFile(read_settings(config).status_file)
    file.offer(now)
    file.close(5)

    assert main(["status", "--config", str(config)]) == 0
    assert (
        "commands: 2 wait, 1 run; ended: 1 outcome unknown, 41 succeeded, 3 reports to be told\n"
        "  now: x\n"
    ) in capsys.readouterr().out
    assert main(["status", "--json", "--config", str(config)]) == 0
    assert json.loads(capsys.readouterr().out)["commands"]["ended"]["succeeded"] == 41
