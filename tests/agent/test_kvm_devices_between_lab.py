"""What others do on a real host while a command about a VM's devices is between two steps."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest

from creating_world import World, interrupted, order_of, perform, world_of
from kvm_herd import herd_of
from lifecycle_contract import Heard
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.lifecycle import EffectFailed, EffectUnknown, NotPossible
from novacron_contract.commands import Verb
from world_of_devices import attach, create, delete, detach, disks, grow, vm

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with (
        tempfile.TemporaryDirectory(prefix="nclab-p-", dir="/tmp") as folder,
        herd_of(0) as herd,
        world_of(herd.host, Path(folder)) as found,
    ):
        yield found


@pytest.fixture(autouse=True)
def as_before(world: World) -> Iterator[None]:
    before = world.listing()
    yield
    after = world.listing()
    world.clear()
    assert after == before


class Then(Heard):
    """`does` something, once, when it is told of what begins like that."""

    def __init__(self, at: str, does: Callable[[], object]) -> None:
        super().__init__()
        self._at, self._does = at, [does]

    def tell(self, text: str, share: float | None = None) -> None:
        super().tell(text, share)
        if self._does and text.startswith(self._at):
            self._does.pop()()


def detached(world: World, vm_id: str) -> dict[str, str]:
    """A volume that was made with this VM, which has it no more."""
    made = attach(world, vm_id, size_gib=0.001).detail
    detach(world, vm_id, made["disk"])
    return {"pool": made["pool"], "volume": made["volume"]}


def test_a_volume_that_another_vm_is_given_meanwhile_is_not_deleted(world: World) -> None:
    first, second = vm(), vm()
    create(world, first, start=False)
    create(world, second, name="other", start=False)
    volume = detached(world, first)
    world.conn.lookupByUUIDString(first).create()
    heard = Then("volume", lambda: attach(world, second, volume=volume))

    with pytest.raises(EffectFailed, match=r"'novacron-.*' stays: 'other' uses it"):
        perform(world.host.uri, order_of(Verb.DELETE, first, force=True), heard)

    assert disks(world, second) == [("vda",), ("vda",)]
    assert (world.pool("default") / volume["volume"]).exists()
    detach(world, second, "vda")
    delete(world, second)
    delete(world, first)


@pytest.mark.parametrize("at", ["before attachDeviceFlags", "before delete"])
def test_of_an_attach_and_a_delete_at_once_one_is_refused(world: World, at: str) -> None:
    first, second = vm(), vm()
    create(world, first, start=False)
    create(world, second, name="other", start=False)
    volume = detached(world, first)
    refused: list[str] = []

    def gives() -> None:
        attach(world, second, volume=volume)

    def deletes() -> None:
        perform(world.host.uri, order_of(Verb.DELETE, first))

    outer, inner = (gives, deletes) if at == "before attachDeviceFlags" else (deletes, gives)

    def meanwhile() -> None:
        with pytest.raises((NotPossible, EffectFailed)) as failed:
            inner()
        refused.append(str(failed.value))

    with interrupted(1, meanwhile) as passed:
        outer()

    assert passed[0] == at
    assert "is being" in refused[0]
    has = ("vda",) if outer is gives else ()
    assert disks(world, second) == [has, has]
    assert (world.pool("default") / volume["volume"]).exists() == bool(has)
    if has:
        detach(world, second, "vda")
        delete(world, first)
    delete(world, second)


@pytest.mark.parametrize("runs", [True, False])
def test_a_disk_that_somebody_made_larger_meanwhile_is_not_cut(world: World, runs: bool) -> None:
    vm_id = vm()
    create(world, vm_id, disks=[{"size_gib": 0.01}], start=runs)
    order = order_of(Verb.GROW_DISK, vm_id, disk="vda", size_gib=0.02)

    with pytest.raises(NotPossible, match="disks are made larger only"):
        perform(world.host.uri, order, Then("from ", lambda: grow(world, vm_id, "vda", 0.04)))

    assert not grow(world, vm_id, "vda", 0.04).changed
    delete(world, vm_id)


def test_a_volume_that_is_gone_is_said_to_be_gone(world: World) -> None:
    """Even where the mark of its VM cannot be written any more."""
    vm_id = vm()
    create(world, vm_id, start=False)
    made = attach(world, vm_id, size_gib=0.001).detail
    domain = world.conn.lookupByUUIDString(vm_id)
    order = order_of(Verb.DETACH_DISK, vm_id, disk="vda", delete_volume=True)

    with interrupted(4, domain.undefine) as passed:
        done = perform(world.host.uri, order)

    assert passed[3] == "after delete"
    assert done.detail == {"deleted": f"default/{made['volume']}"}


def test_a_disk_that_libvirt_may_still_give_keeps_its_volume(world: World) -> None:
    """Its QEMU is slow, and whoever ordered it was killed: it is in the queue there."""
    vm_id = vm()
    create(world, vm_id, start=False)
    order = order_of(Verb.ATTACH_DISK, vm_id, disk={"size_gib": 0.001})
    heard = Heard()

    def is_slow() -> None:
        err = libvirt.libvirtError("cannot acquire state change lock")
        err.err = (libvirt.VIR_ERR_OPERATION_TIMEOUT, 10, "cannot acquire", 2, "", "", "", 0, 0)
        raise err

    for what, says in ((is_slow, "before may still be done"), (_fail, "its volume stays")):
        at = 1 if heard.witnessed else 5
        with interrupted(at, what) as passed, pytest.raises(EffectUnknown, match=says):
            perform(world.host.uri, order, heard)
        assert passed[at - 1] == "before attachDeviceFlags"
    lifecycle = KvmLifecycle(world.host.uri)
    with pytest.raises(EffectUnknown, match=rf"default/novacron-.*-{order.id}.qcow2 stays, and ma"):
        lifecycle.perform(order, heard, time.monotonic() - 1)
    lifecycle.close()

    assert perform(world.host.uri, order, heard).detail["disk"] == "vda"
    delete(world, vm_id)


def test_a_guest_that_was_asked_to_let_go_still_may(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("novacron_agent.providers.kvm.devices.unplugging._ASK_AGAIN_S", 0.1)
    vm_id = vm()
    create(world, vm_id, disks=[{"size_gib": 0.001}, {"size_gib": 0.001}])  # firmware alone
    order = order_of(Verb.DETACH_DISK, vm_id, disk="vdb")
    suspend = world.conn.lookupByUUIDString(vm_id).suspend

    with pytest.raises(EffectFailed, match="to let go of disk vdb, and still may: the VM is pause"):
        perform(world.host.uri, order, Then("the guest is to let go", suspend))

    delete(world, vm_id)


def test_one_of_two_cards_with_the_same_address_is_not_chosen(world: World) -> None:
    vm_id, mac = vm(), "52:54:00:aa:bb:77"
    card = f"<interface type='network'><mac address='{mac}'/><source network='lan'/></interface>"
    world.conn.defineXML(
        f"<domain type='qemu'><name>twice</name><uuid>{vm_id}</uuid><memory>65536</memory>"
        f"<os><type>hvm</type></os><devices>{card}{card}</devices></domain>"
    )
    with pytest.raises(NotPossible, match=f"the VM has several cards {mac}"):
        perform(world.host.uri, order_of(Verb.DETACH_NIC, vm_id, mac=mac))
    world.conn.lookupByUUIDString(vm_id).undefine()


def test_a_card_that_was_there_before_outlives_an_attach_that_fails(world: World) -> None:
    vm_id, mac = vm(), "52:54:00:aa:bb:78"
    create(world, vm_id)
    domain = world.conn.lookupByUUIDString(vm_id)
    domain.attachDeviceFlags(
        f"<interface type='network'><mac address='{mac}'/><source network='lan'/>"
        "<model type='virtio'/></interface>",
        libvirt.VIR_DOMAIN_AFFECT_LIVE,
    )
    order = order_of(Verb.ATTACH_NIC, vm_id, nic={"network": "lan", "mac": mac})

    with (
        interrupted(1, _fail) as passed,
        pytest.raises(EffectFailed, match=r"^the disk is on fire$"),
    ):
        perform(world.host.uri, order)

    assert passed == ["before attachDeviceFlags"], "nothing was taken out"
    delete(world, vm_id)


def _fail() -> None:
    raise libvirt.libvirtError("the disk is on fire")
