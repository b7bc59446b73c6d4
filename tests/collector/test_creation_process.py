"""A VM's life by the whole way: REST, a real collector, an agent's process that has joined, and
libvirt's own test driver, which has no cloud-init seeds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from enrolled import World, enrolling, running, until
from novacron_contract.access import Role
from novacron_store.state import Inventory, Vm
from principals import signed_in

SPEC = {
    "name": "web-1",
    "memory_mib": 64,
    "disks": [{"size_gib": 0.01, "pool": "default-pool"}],
    "networks": [{"network": "default"}],
    "tags": {"team": "web"},
    "owner": "ann",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with enrolling(tmp_path) as world:
        yield world


def ended(http: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """The only command of what was ordered, in the end."""
    assert answer.status_code == 201, answer.text
    operation = answer.json()
    while operation["finished"] is None:
        asked = {"after": operation["version"], "wait": 20}
        operation = http.get(f"/v1/operations/{operation['id']}", params=asked).json()
    found: dict[str, Any]
    (found,) = http.get(f"/v1/commands?operation={operation['id']}").json()["commands"]
    return found


@pytest.mark.timeout(120)
def test_a_vm_is_created_planned_to_be_deleted_and_deleted(world: World) -> None:
    agent, inventory = world.joined("one", host_id=None), Inventory(world.state)
    headers = signed_in(world.state, Role.VM_ADMIN)

    def named(name: str) -> Vm | None:
        return next((vm for vm in inventory.vms() if vm.name == name), None)

    with (
        running(agent),
        httpx.Client(
            base_url=world.collector.api, headers=headers, trust_env=False, timeout=40
        ) as http,
    ):
        before = until(inventory.vms)
        host = before[0].host_id
        made = ended(http, http.post("/v1/vms", json={"spec": SPEC, "host": host}))
        assert made["state"] == "succeeded", made["error"]
        vm = named("web-1")
        assert vm is not None
        assert vm.id == made["vm"]["id"]
        seen = vm.last_seen
        told = until(lambda: (of := named("web-1")) and of.last_seen > seen and of)
        assert (told.resource["team"], told.resource["vm.owner"]) == ("web", "ann")

        order = {"verb": "delete", "targets": {"vms": [vm.id]}, "arguments": {"plan": True}}
        planned = ended(http, http.post("/v1/operations", json=order))
        assert planned["state"] == "succeeded", planned
        assert vm.id in str(planned["detail"]["plan"])
        assert named("web-1") is not None
        order = {**order, "arguments": {"force": True}, "confirm": "web-1"}
        gone = ended(http, http.post("/v1/operations", json=order))
        assert gone["state"] == "succeeded", gone
        time.sleep(3)  # ticks of the agent
        assert [one.id for one in inventory.vms()] == [one.id for one in before]
        assert inventory.vm(vm.id).deleted is not None
