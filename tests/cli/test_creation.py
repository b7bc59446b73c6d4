"""novacron vm create: from a file to VMs, and what is said of a file that is none."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cli.lossy import lossy
from cli.ordering import Ordering, Served
from cli.runs import Ended
from novacron_contract import vm_spec
from novacron_contract.access import Role
from novacron_contract.commands import Order, Verb

FILE = """\
name: web-1
memory_mib: 1024
disks:
- size_gib: 1
cloud_init:
  user_data: |
    #cloud-config
    password: correct horse
tags: {team: web}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "web.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def ordering(served: Served) -> Ordering:
    ordering: Ordering = served(1, 1, role=Role.VM_ADMIN)
    wait_for_agents(ordering)
    return ordering


def wait_for_agents(ordering: Ordering) -> None:
    """They have said what they can."""
    world = ordering.world
    agents = set(world.agent_of.values())
    while world.commands.journals.verbs(agents).keys() != agents:
        pass


def create(ordering: Ordering, *words: str) -> Ended:
    return ordering.run("vm", "create", *words)


def test_a_vm_is_made_and_told(ordering: Ordering, file: Path) -> None:
    orders: list[Order] = []
    ordering.service.obey = lambda order: orders.append(order) or ""  # type: ignore[func-returns-value]

    ended = create(ordering, str(file), "--host", "kvm-1", "--wait", "--reason", "more load")

    assert ended.code == 0
    assert "✓ create 1 VM: 1 succeeded in" in ended.out
    assert f"web-1  {orders[0].vm_id}" in ended.out
    assert "create web-1: succeeded" in ended.err
    assert orders[0].arguments["spec"]["cloud_init"]["user_data"].endswith("correct horse\n")  # type: ignore[index]
    assert "horse" not in ended.out + ended.err + json.dumps(ordering.api("/v1/commands"))
    assert ordering.operations()[0]["reason"] == "more load"


def test_several_are_numbered_and_planned_before(ordering: Ordering, file: Path) -> None:
    many = ("--name", "web-{n:02}", "--count", "3", "--first", "9")
    planned = create(ordering, str(file), *many, "--dry-run")
    assert planned.code == 0
    assert [line.split()[0] for line in planned.out.splitlines()[2:5]] == [
        *("web-09", "web-10", "web-11")
    ]
    assert "would create 3 VMs" in planned.out
    assert ordering.operations() == []

    taken = create(ordering, str(file), *many)
    assert taken.out.startswith("create 3 VMs: operation ")
    again = create(ordering, str(file), *many, "--dry-run", "--host", "kvm-0")
    assert again.code == 1


def test_what_was_not_made_is_told_with_its_reason(ordering: Ordering, file: Path) -> None:
    ordering.service.obey = lambda _: "the pool default is full"
    ended = create(ordering, str(file), "--wait")
    assert ended.code == 1
    assert "web-1  create  failed  the pool default is full" in ended.out

    ended = create(ordering, str(file), "--name", "b", "--wait", "--json")
    told = json.loads(ended.out)["not_succeeded"]
    assert ended.code == 1
    assert [(one["state"], one["error"]) for one in told] == [
        ("failed", "the pool default is full")
    ]


def test_json_is_what_the_api_gives(ordering: Ordering, file: Path) -> None:
    made = json.loads(create(ordering, str(file), "--wait", "--json").out)
    assert made.pop("not_succeeded") == []
    assert made == ordering.api(f"/v1/operations/{made['id']}")
    plan = json.loads(create(ordering, str(file), "--name", "b", "--dry-run", "--json").out)
    assert (plan["total"], plan["vms"][0]["name"]) == (1, "b")


def test_parts_are_said_on_the_command_line(ordering: Ordering, file: Path, tmp_path: Path) -> None:
    specs: list[Any] = []
    ordering.service.obey = lambda order: specs.append(order.arguments["spec"]) or ""  # type: ignore[func-returns-value]
    data = tmp_path / "seed"
    data.write_text("#cloud-config\nhostname: other\n")
    changes = ("memory_mib=2048", "disks[0].size_gib=2", "disks[1].size_gib=3", "tags.team=db",
               "tags.rack='7'", "owner=ann")  # fmt: skip
    words = [word for change in changes for word in ("--set", change)]

    assert create(ordering, str(file), *words, "--user-data", str(data), "--wait").code == 0

    (spec,) = specs
    assert spec["memory_mib"] == 2048
    assert [disk["size_gib"] for disk in spec["disks"]] == [2, 3]
    assert (spec["tags"], spec["owner"]) == ({"team": "db", "rack": "7"}, "ann")
    assert spec["cloud_init"] == {"user_data": data.read_text()}


def test_standard_input_is_a_file_too(ordering: Ordering, monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.dumps({"name": "from-json", "memory_mib": 64}).encode()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(told), isatty=bool))
    assert create(ordering, "-", "--wait").code == 0
    assert ordering.api("/v1/commands")["commands"][0]["vm"]["name"] == "from-json"


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("memory_mib: 1\nname: a\nvcpu: 2\n", (), "FILE:3: unknown: 'vcpu'; allowed: name, vcpus"),
        ("name: a\nmemory_mib: much\n", (), "FILE:2: memory_mib: expected"),
        ("name: a\nmemory_mib: 1\ndisks:\n- size_gib: 1\n- {}\n", (), "FILE:5: disks[1]"),
        ("name: a\n", (), "FILE:1: memory_mib: missing"),
        ("name: a\nmemory_mib: 1\ntags:\n  vm.id: x\n", (), "FILE:3: tags.vm.id: the names"),
        ("name: a\nmemory_mib: 1\n", ("--set", "vcpus=none"), "vcpus: expected"),
        ("name: a\nmemory_mib: 1\n", ("--set", "vcpus"), "--set vcpus: expected PATH=VALUE"),
        ("name: a\nmemory_mib: 1\n", ("--set", "disks[4].size_gib=1"), "[4]: there is no such"),
        ("name: a\nmemory_mib: 1\n", ("--set", "name.x=1"), "x: what it would be in"),
        ("name: a\nmemory_mib: 1\n", ("--user-data", "/no/such"), "/no/such: No such file"),
        ("- a\n", (), "FILE: expected members such as name"),
        ("", (), "FILE: expected members such as name"),
        ("a: [", (), "FILE: line 1: no YAML"),
    ],
)
def test_what_is_no_spec_is_told_with_its_line_and_nothing_asked(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    words: tuple[str, ...],
    message: str,
) -> None:
    from novacron_cli.main import main

    path = tmp_path / "spec.yaml"
    path.write_text(text)
    assert main(("vm", "create", str(path), *words, "--url", "http://127.0.0.1:1")) == 2
    assert message.replace("FILE", str(path)) in capsys.readouterr().err


def test_without_a_file_the_example_is_pointed_to(served: Served) -> None:
    ordering = served(1, role=Role.VM_ADMIN)
    ended = create(ordering)
    assert (ended.code, "--example" in ended.err) == (2, True)
    assert create(ordering, "/no/such.yaml").err == (
        "novacron: /no/such.yaml: No such file or directory\n"
    )


def test_the_example_is_a_spec_and_the_schema_allows_it(ordering: Ordering, tmp_path: Path) -> None:
    path = tmp_path / "example.yaml"
    path.write_text(create(ordering, "--example").out)
    schema = json.loads(create(ordering, "--schema").out)
    assert schema == ordering.api("/v1/vm-spec") == vm_spec.schema()
    assert create(ordering, str(path), "--dry-run").code == 0
    commented = path.read_text().replace("# ", "  ").count("\n")
    assert commented == path.read_text().count("\n")
    from novacron_cli.orders.spec_file import parse

    Draft202012Validator(schema).validate(parse(path.read_bytes()).value)


def test_a_lost_answer_makes_no_second_vm(
    ordering: Ordering, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lossy(ordering.service.url) as between:
        monkeypatch.setenv("NOVACRON_URL", between.url)
        ended = create(ordering, str(file), "--wait")
    assert ended.code == 0
    assert "asking again, it is done once all the same" in ended.err
    assert [one["verb"] for one in ordering.api("/v1/commands")["commands"]] == [Verb.CREATE]


def test_who_may_not_is_told_so(ordering: Ordering, file: Path) -> None:
    ordering.as_role(Role.OPERATOR)
    assert create(ordering, str(file)).code == 4
