"""Devices of VMs on a real host, with an agent that is killed and a libvirt that fails anywhere."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

import creating_child
from creating_world import World, interrupted, order_of, perform, world_of
from kvm_herd import herd_of
from lifecycle_contract import Heard
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.kvm.marks import mark_of
from novacron_agent.providers.kvm.markup import parsed, written
from novacron_agent.providers.lifecycle import EffectFailed, EffectUnknown
from novacron_contract.commands import Order, Verb
from world_of_devices import attach, create, delete, disks, off, vm

pytestmark = pytest.mark.lab
NEW: dict[str, Any] = {"linked": {"pool": "images", "volume": "base.qcow2"}, "size_gib": 0.02}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with (
        tempfile.TemporaryDirectory(prefix="nclab-p-", dir="/tmp") as folder,
        herd_of(0) as herd,
        world_of(herd.host, Path(folder)) as found,
    ):
        yield found


@pytest.fixture
def as_before(world: World) -> Iterator[None]:
    before = world.listing()
    yield
    after = world.listing()
    world.clear()
    assert after == before


def lives(world: World, order: Order, at: int) -> tuple[bool, Heard]:
    """Whether it lived to its end, and what it witnessed."""
    child = subprocess.run(
        (sys.executable, creating_child.__file__, world.host.uri, str(at)),
        input=json.dumps(order.as_json()),
        text=True,
        capture_output=True,
    )
    assert child.returncode in (0, -9), child.stderr
    return child.returncode == 0, Heard(witnessed=child.stdout.splitlines())


def volumes(world: World, vm_id: str) -> list[str]:
    return [one for one in world.listing() if one.startswith("volume ") and vm_id in one]


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.usefixtures("as_before")
def test_killed_at_every_point_there_is_one_disk_more(world: World, runs: bool) -> None:
    for at in itertools.count(1):
        vm_id = vm()
        create(world, vm_id, start=runs)
        order = order_of(Verb.ATTACH_DISK, vm_id, disk=NEW)

        lived, heard = lives(world, order, at)
        done = perform(world.host.uri, order, heard)

        assert (done.changed, done.detail["disk"]) == (True, "vda")
        assert disks(world, vm_id) == [("vda",), ("vda",)]
        assert len(volumes(world, vm_id)) == 1, f"killed at point {at}"
        delete(world, vm_id)
        assert not volumes(world, vm_id)
        if lived:
            break
    assert at == (9 if runs else 7), "before and after each call, and once to the end"


@pytest.mark.usefixtures("as_before")
def test_killed_at_every_point_a_disk_goes_with_its_volume(world: World) -> None:
    for at in itertools.count(1):
        vm_id = vm()
        create(world, vm_id, start=False)
        made = attach(world, vm_id, **NEW).detail
        order = order_of(Verb.DETACH_DISK, vm_id, disk="vda", delete_volume=True)

        lived, heard = lives(world, order, at)
        done = perform(world.host.uri, order, heard)

        assert lived or done.detail == {"deleted": f"images/{made['volume']}"}
        assert disks(world, vm_id) == [(), ()]
        assert not volumes(world, vm_id), f"killed at point {at}"
        delete(world, vm_id)
        if lived:
            break
    assert at == 7


@pytest.mark.usefixtures("as_before")
def test_another_disk_of_the_same_name_keeps_its_volume(world: World) -> None:
    vm_id = vm()
    create(world, vm_id, start=False)
    attach(world, vm_id, **NEW)
    order = order_of(Verb.DETACH_DISK, vm_id, disk="vda", delete_volume=True)
    lived, heard = lives(world, order, 2)
    assert not lived
    attach(world, vm_id, **NEW)
    assert disks(world, vm_id)[0] == ("vda",)

    with pytest.raises(EffectFailed, match="disk vda is another by now than it was when this beg"):
        perform(world.host.uri, order, heard)

    assert len(volumes(world, vm_id)) == 2
    delete(world, vm_id)


def _fail() -> None:
    raise libvirt.libvirtError("the disk is on fire")


@pytest.mark.usefixtures("as_before")
def test_whatever_step_fails_nothing_half_made_stays(world: World) -> None:
    vm_id = vm()
    create(world, vm_id, start=False)
    before = world.listing()
    domain = world.conn.lookupByUUIDString(vm_id)
    as_it_was = _said(domain)
    for at in itertools.count(1):
        order = order_of(Verb.ATTACH_DISK, vm_id, disk={"size_gib": 0.001})
        with interrupted(at, _fail) as passed:
            failure = _failure(world, order)
        if not failure:
            break
        assert "on fire (what had been made of it is removed)" in failure
        assert (world.listing(), _said(domain)) == (before, as_it_was), f"failed {passed[at - 1]}"
    assert at == 7
    delete(world, vm_id)


def _said(domain: libvirt.virDomain) -> tuple[object, ...]:
    tree = parsed(domain.XMLDesc())
    return mark_of(tree), [written(one) for one in tree.iterfind("devices/*")]


def _failure(world: World, order: Order) -> str:
    try:
        perform(world.host.uri, order)
    except EffectFailed as err:
        return str(err)
    return ""


@pytest.mark.usefixtures("as_before")
def test_after_its_time_what_was_begun_is_removed(world: World) -> None:
    vm_id = vm()
    create(world, vm_id, start=False)
    before = world.listing()
    order = order_of(Verb.ATTACH_DISK, vm_id, disk=NEW)
    lived, heard = lives(world, order, 2)
    assert not lived
    assert world.listing() != before
    lifecycle = KvmLifecycle(world.host.uri)

    with pytest.raises(EffectFailed, match="its time was over"):
        lifecycle.perform(order, heard, time.monotonic() - 1)

    assert world.listing() == before
    lifecycle.close()
    delete(world, vm_id)


@pytest.mark.usefixtures("as_before")
def test_a_vm_that_moved_meanwhile_may_have_its_disk(world: World) -> None:
    vm_id, heard = vm(), Heard()
    create(world, vm_id, start=False)
    order = order_of(Verb.ATTACH_DISK, vm_id, disk=NEW)
    perform(world.host.uri, order, heard)
    domain = world.conn.lookupByUUIDString(vm_id)
    xml = domain.XMLDesc()
    domain.undefine()

    with pytest.raises(EffectUnknown, match="no such VM; the disk may be with it"):
        perform(world.host.uri, order, heard)

    assert len(volumes(world, vm_id)) == 1
    world.conn.defineXML(xml)
    delete(world, vm_id)


@pytest.mark.usefixtures("as_before")
def test_a_disk_that_came_half_is_given_where_it_is_missing(world: World) -> None:
    """libvirt changes what runs first, then what is defined, and may be killed between them."""
    volume = off(world, "mine.qcow2")
    for disk in (NEW, {"volume": {"volume": "mine.qcow2"}}):
        vm_id, heard = vm(), Heard()
        create(world, vm_id)
        order = order_of(Verb.ATTACH_DISK, vm_id, disk=disk)
        first = perform(world.host.uri, order, heard)
        domain = world.conn.lookupByUUIDString(vm_id)
        [defined] = parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).iterfind("devices/disk")
        domain.detachDeviceFlags(written(defined), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        assert disks(world, vm_id) == [("vda",), ()]

        assert perform(world.host.uri, order, heard) == first

        assert disks(world, vm_id) == [("vda",), ("vda",)]
        delete(world, vm_id)
    volume.unlink()
    world.conn.storagePoolLookupByName("default").refresh(0)
