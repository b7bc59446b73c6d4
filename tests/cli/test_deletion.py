"""novacron vm delete: what goes is shown first, and has to be meant."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from cli.ordering import Ordering, Served
from cli.terminals import on_terminal
from novacron_contract.access import Role
from novacron_contract.commands import Order

GOES = [
    {"kind": "volume", "name": "default/web.qcow2", "why": "created with the VM"},
    {"kind": "nvram", "name": "web_VARS.fd", "why": "the VM's own"},
]
STAYS = [{"kind": "volume", "name": "default/data.qcow2", "why": "was there before"}]


def tells(order: Order) -> Mapping[str, Any]:
    return {"plan": GOES, "kept": STAYS, "more": 3} if order.arguments.get("plan") else {}


@pytest.fixture
def ordering(served: Served) -> Ordering:
    found: Ordering = served(2, role=Role.VM_ADMIN, tells=tells)
    return found


def vms(ordering: Ordering) -> list[str]:
    return [vm.name for vm in ordering.world.inventory.vms()]


def test_a_dry_run_tells_what_goes_what_stays_and_why(ordering: Ordering) -> None:
    ended = ordering.run("vm", "delete", "vm-0-0", "--dry-run", "--keep-volumes")

    assert ended.code == 0
    assert re.search(r"vm-0-0 +goes +volume +default/web.qcow2 +created with the VM", ended.out)
    assert re.search(r"vm-0-0 +goes +nvram +web_VARS.fd +the VM's own", ended.out)
    assert re.search(r"vm-0-0 +stays +volume +default/data.qcow2 +was there before", ended.out)
    assert "… and 3 more" in ended.out
    assert ended.out.endswith("nothing was done\n")
    (operation,) = ordering.operations()
    assert operation["steps"][0]["arguments"] == {
        "plan": True, "keep_volumes": True, "force": False
    }  # fmt: skip
    assert vms(ordering) == ["vm-0-0", "vm-0-1"]


def test_what_an_agent_cannot_plan_is_told(ordering: Ordering) -> None:
    bad = ordering.world.vms[1]
    ordering.service.obey = lambda order: "no such VM" if order.vm_id == bad else ""
    ended = ordering.run("vm", "delete", "--all", "--dry-run")
    assert ended.code == 1
    assert re.search(r"vm-0-0 +goes +volume", ended.out)
    assert re.search(r"vm-0-1 +\? +no such VM", ended.out)


def test_a_dry_run_as_json_has_the_plans(ordering: Ordering) -> None:
    ended = ordering.run("vm", "delete", "vm-0-0", "--dry-run", "--json")
    told = json.loads(ended.out)
    assert [one["detail"]["plan"] for one in told["plans"]] == [GOES]
    assert told["state"] == "succeeded"


def test_without_a_terminal_it_is_confirmed_by_yes_alone(ordering: Ordering) -> None:
    ended = ordering.run("vm", "delete", "vm-0-0")
    assert ended.code == 2
    assert ended.err == "novacron: to delete 1 VM is for good: confirm it with --yes\n"
    assert ordering.operations() == []


def test_what_is_deleted_is_listed_no_more(ordering: Ordering) -> None:
    ended = ordering.run("vm", "delete", "vm-0-0", "--yes", "--wait", "--force")
    assert ended.code == 0
    assert "✓ delete 1 VM: 1 succeeded in" in ended.out
    assert vms(ordering) == ["vm-0-1"]
    gone = ordering.run("vm", "start", "vm-0-0")
    assert (gone.code, "no VM has the id or name 'vm-0-0'" in gone.err) == (1, True)


def test_what_could_not_be_deleted_stays(ordering: Ordering) -> None:
    ordering.service.obey = lambda _: "it runs: say force"
    ended = ordering.run("vm", "delete", "--all", "--yes", "--wait")
    assert ended.code == 1
    assert re.search(r"vm-0-0 +delete +failed +it runs: say force", ended.out)
    assert vms(ordering) == ["vm-0-0", "vm-0-1"]


def test_later_those_are_deleted_that_were_meant(ordering: Ordering) -> None:
    words = ("schedule", "create", "cleanup", "delete", "--name", "vm-0-*", "--yes")
    ended = ordering.run(*words, "--at", "2099-01-01T00:00:00Z")
    assert ended.code == 1  # too far
    assert ordering.run(*words, "--cron", "0 3 1 1 *").code == 0
    (schedule,) = ordering.api("/v1/schedules")["schedules"]
    assert sorted(schedule["operation"]["targets"]["vms"]) == sorted(ordering.world.vms)
    with pytest.raises(SystemExit):
        ordering.run("schedule", "create", "x", "create", "--cron", "0 3 1 1 *")


def test_on_a_terminal_what_goes_is_shown_before_the_name_is_typed(ordering: Ordering) -> None:
    url, prompt = ordering.service.url, "Type vm-0-0 to delete 1 VM: "
    refused = on_terminal(url, "vm", "delete", "vm-0-0", typed=[(prompt, "y")], columns=120)
    assert (refused.code, "not confirmed: nothing was done" in refused.text) == (1, True)
    assert re.search(r"vm-0-0 +goes +volume +default/web.qcow2", refused.text.split(prompt)[0])
    assert vms(ordering) == ["vm-0-0", "vm-0-1"]

    done = on_terminal(url, "vm", "delete", "vm-0-0", typed=[(prompt, "vm-0-0")], columns=120)
    assert done.code == 0
    assert "What was created with a VM goes with it, for good." in done.text
    assert vms(ordering) == ["vm-0-1"]


def test_where_nobody_tells_what_goes_it_is_asked_all_the_same(ordering: Ordering) -> None:
    ordering.service.obey = lambda order: "busy" if order.arguments.get("plan") else ""
    prompt = "Type vm-0-0 to delete 1 VM: "
    shown = on_terminal(ordering.service.url, "vm", "delete", "vm-0-0", typed=[(prompt, "vm-0-0")])
    assert shown.code == 0
    assert re.search(r"vm-0-0 +\? +busy", shown.text)
