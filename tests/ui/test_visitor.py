"""What a page offers whom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleet_samples import SampleFleet
from novacron_contract.access import Grant, Principal, PrincipalKind, Role, scope
from novacron_ui.access.visitors import VISITOR
from novacron_ui.pages import machine
from novacron_ui.query.machine import Machines
from novacron_ui.visitor import shown, verbs
from ui_world import World


def sits_there(*grants: Grant) -> None:
    VISITOR.set(Principal(PrincipalKind.USER, "", "hal", grants))


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    yield
    VISITOR.set(None)


def offered(world: World, id_or_name: str) -> str:
    found = Machines(world.inventory, world.client).find(id_or_name)
    return str(getattr(machine.view(found).content, "data-may"))


def test_an_operator_of_one_host_has_buttons_on_its_vms_alone(
    world: World, fleet: SampleFleet
) -> None:
    sits_there(Grant(Role.OPERATOR, scope(f"host:{fleet.host_a}")))
    assert offered(world, fleet.web) == "vm.power"
    assert offered(world, fleet.idle) == ""
    assert offered(world, fleet.host_a) == ""
    assert {verb["verb"] for verb in verbs()} >= {"start", "stop"}


def test_a_tag_decides_too(world: World, fleet: SampleFleet) -> None:
    name = world.inventory.vm(fleet.web).name
    sits_there(Grant(Role.VM_ADMIN, scope(f"tag:vm.name={name}")))
    assert offered(world, fleet.web) == "vm.power vm.manage"
    assert offered(world, fleet.db) == ""
    told = {verb["verb"] for verb in verbs()}
    assert "delete" in told
    assert "attach-disk" not in told, "a button has no disk to give"


@pytest.mark.parametrize("role", [Role.VIEWER, None])
def test_who_may_only_look_is_offered_nothing(
    world: World, fleet: SampleFleet, role: Role | None
) -> None:
    if role:
        sits_there(Grant(role))
    assert offered(world, fleet.web) == ""
    assert verbs() == []
    assert shown(VISITOR.get())["permissions"] == ["read"]
