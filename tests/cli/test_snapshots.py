"""novacron vm snapshot, snapshots, revert, delete-snapshot."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from cli.ordering import Ordering, Served
from cli.terminals import on_terminal
from novacron_contract.access import Role
from novacron_contract.commands import Order, Verb

SNAPSHOTS = [
    {"snapshot": "two\x1b[2J", "created": "2026-12-01T10:00:00Z", "state": "running",
     "memory": True, "parent": "one", "current": True, "external": False},
    {"snapshot": "one", "created": None, "state": "stopped", "memory": False, "parent": None,
     "current": False, "external": True},
]  # fmt: skip


def tells(order: Order) -> Mapping[str, Any]:
    return {"snapshots": SNAPSHOTS, "more": 3} if order.verb is Verb.SNAPSHOTS else {}


@pytest.fixture
def ordering(served: Served) -> Ordering:
    found: Ordering = served(2, role=Role.VM_ADMIN, tells=tells)
    return found


def test_snapshots_are_a_table_of_what_the_agents_tell(ordering: Ordering) -> None:
    ended = ordering.run("vm", "snapshots", "vm-0-0")

    assert ended.code == 0
    assert re.search(r"vm-0-0 +two.* +running +yes +one +✓", ended.out)
    assert re.search(r"vm-0-0 +one +– +stopped \(external\)", ended.out)
    assert "… and 3 more" in ended.out
    assert "\x1b[2J" not in ended.out


def test_snapshots_as_json_are_as_the_agents_tell_them(ordering: Ordering) -> None:
    told = json.loads(ordering.run("vm", "snapshots", "--all", "--json").out)
    assert [one["detail"]["snapshots"] for one in told["answers"]] == [SNAPSHOTS] * 2


def test_an_agent_that_cannot_tell_is_told(ordering: Ordering) -> None:
    ordering.service.obey = lambda _: "libvirt is away"
    ended = ordering.run("vm", "snapshots", "vm-0-0")
    assert ended.code == 1
    assert "libvirt is away" in ended.out


def test_a_snapshot_is_made_with_its_name_and_memory(ordering: Ordering) -> None:
    ended = ordering.run(
        "vm", "snapshot", "vm-0-0", "--snapshot", "before 2.0", "--memory", "--wait"
    )
    assert ended.code == 0
    (operation,) = ordering.operations()
    assert operation["steps"][0]["arguments"] == {"snapshot": "before 2.0", "memory": True}


@pytest.mark.parametrize("name", ["../x", "-x", "1", "a\nb", "x" * 129, " x", 'a"b'])
def test_a_name_that_is_none_is_refused(ordering: Ordering, name: str) -> None:
    ended = ordering.run("vm", "snapshot", "vm-0-0", f"--snapshot={name}")
    assert ended.code != 0
    assert "arguments: snapshot: expected letters, digits, spaces" in ended.err


@pytest.mark.parametrize(
    ("verb", "costs"),
    [("revert", "costs guests what they have written since"), ("delete-snapshot", "is for good")],
)
def test_what_is_lost_is_confirmed(ordering: Ordering, verb: str, costs: str) -> None:
    ended = ordering.run("vm", verb, "vm-0-0", "--snapshot", "one")
    assert ended.err == f"novacron: to {verb} 1 VM {costs}: confirm it with --yes\n"
    assert ordering.operations() == []
    assert ordering.run("vm", verb, "vm-0-0", "--snapshot", "one", "--yes", "--wait").code == 0


@pytest.mark.parametrize("verb", ["revert", "delete-snapshot"])
def test_nothing_is_gone_back_to_or_deleted_unnamed(ordering: Ordering, verb: str) -> None:
    with pytest.raises(SystemExit):
        ordering.run("vm", verb, "vm-0-0", "--yes")
    ended = ordering.run("vm", verb, "vm-0-0", "--snapshot=", "--yes")
    assert "arguments: snapshot: expected the name of a snapshot" in ended.err
    assert ordering.operations() == []


def test_on_a_terminal_the_name_of_the_vm_is_typed(ordering: Ordering) -> None:
    url, prompt = ordering.service.url, "Type vm-0-0 to revert 1 VM: "
    shown = on_terminal(
        url, "vm", "revert", "vm-0-0", "--snapshot", "one", typed=[(prompt, "vm-0-0")]
    )
    assert shown.code == 0
    assert "What guests have written since the snapshot is lost." in shown.text
