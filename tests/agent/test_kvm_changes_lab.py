"""Guests of a real KVM host that are saved, resized and renamed, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest

from kvm_herd import Herd, herd_of, spare_xml
from lifecycle_contract import Heard, done, force, order
from novacron_agent.providers.kvm import KvmProvider, marks
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.kvm.markup import parsed
from novacron_agent.providers.lifecycle import (
    EffectFailed,
    EffectUnknown,
    Elsewhere,
    Lifecycle,
    NotPossible,
)
from novacron_agent.readings import Reading
from novacron_contract.commands import Verb
from novacron_contract.metrics import VM_ID, VM_NAME, VmState
from novacron_lab.plan import GUESTS

pytestmark = pytest.mark.lab
VM = "changed"
ACTIVE = (VmState.RUNNING, VmState.BLOCKED)


@pytest.fixture(scope="module")
def one_world() -> Iterator[Herd]:
    with herd_of(1, GUESTS[:1]) as found:
        yield found


@pytest.fixture
def world(one_world: Herd) -> Iterator[Herd]:
    """libvirtd may have been killed since."""
    conn = libvirt.open(one_world.host.uri)
    yield replace(one_world, conn=conn)
    conn.close()


@pytest.fixture
def kvm(world: Herd) -> Iterator[Lifecycle]:
    lifecycle = KvmLifecycle(world.host.uri)
    yield lifecycle
    lifecycle.close()


@pytest.fixture
def domain(world: Herd) -> Iterator[libvirt.virDomain]:
    """Firmware alone, made by NovaCron, with room for a second CPU."""
    tree = ET.fromstring(spare_xml(world.conn.lookupByName(world.names[0]).XMLDesc(), VM))
    vcpu = tree.find("vcpu")
    assert vcpu is not None
    vcpu.text, vcpu.attrib["current"] = "2", "1"
    marks.write(ET.SubElement(tree, "metadata"), marks.Mark(command="c", tags={"team": "web"}))
    domain = world.conn.defineXML(ET.tostring(tree, encoding="unicode"))
    domain.create()
    yield domain
    conn = libvirt.open(world.host.uri)
    left = conn.lookupByUUIDString(domain.UUIDString())
    with contextlib.suppress(libvirt.libvirtError):
        left.destroy()
    left.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
    conn.close()


@pytest.fixture
def vm(domain: libvirt.virDomain) -> str:
    return str(domain.UUIDString())


def image(world: Herd) -> Path:
    [folder] = (world.host.socket.parents[2]).rglob("qemu/save")
    return folder / f"{VM}.save"


def told_of(provider: KvmProvider, vm: str, readings: list[Reading] | None = None) -> Reading:
    found = provider.scrape(None).readings if readings is None else readings
    return next(one for one in found if one.resource.get(VM_ID) == vm)


def test_a_guest_goes_on_where_it_was(world: Herd, kvm: Lifecycle) -> None:
    world.lab.wait_until_up()
    guest = world.lab.guests[0]
    assert done(kvm, Verb.SAVE, guest.uuid).changed
    assert kvm.find(guest.uuid, 5).state is VmState.STOPPED
    assert done(kvm, Verb.START, guest.uuid).text == "restored from its saved memory"

    assert kvm.find(guest.uuid, 5).state in ACTIVE
    time.sleep(2)
    assert b"LAB-GUEST-UP" not in guest.console.read_bytes(), "it has not booted anew"
    ended = done(kvm, Verb.STOP, guest.uuid, grace_s=40, force="never")
    assert ended.detail == {"forced": False}, "its system reacts"
    done(kvm, Verb.START, guest.uuid)


def test_what_was_suspended_is_so_again_and_is_seen(
    world: Herd, kvm: Lifecycle, domain: libvirt.virDomain, vm: str
) -> None:
    done(kvm, Verb.SUSPEND, vm)
    done(kvm, Verb.SAVE, vm)

    started = done(kvm, Verb.START, vm)

    assert started.detail == {"restored": True, "state": "paused"}
    assert started.text == "restored from its saved memory, paused as it was: resume it"
    provider = KvmProvider(uri=world.host.uri)
    told_of(provider, vm)
    provider.close()
    assert kvm.find(vm, 5).state is VmState.PAUSED
    assert done(kvm, Verb.RESUME, vm).changed


def test_who_was_killed_after_it_restored_what_was_suspended_finds_it(
    kvm: Lifecycle, domain: libvirt.virDomain, vm: str
) -> None:
    done(kvm, Verb.SUSPEND, vm)
    done(kvm, Verb.SAVE, vm)
    heard = Heard(witnessed=["its saved memory is restored"])
    domain.create()
    with pytest.raises(Elsewhere):
        kvm.find(vm, 5)

    again = kvm.perform(order(Verb.START, vm), heard, time.monotonic() + 30)

    assert (again.changed, again.detail) == (False, {"state": "paused"})
    assert kvm.find(vm, 5).state is VmState.PAUSED


def test_a_qemu_that_hangs_leaves_nobody_waiting(world: Herd, kvm: Lifecycle, vm: str) -> None:
    with world.hung(VM):
        began = time.monotonic()
        with pytest.raises(EffectUnknown, match="does the VM's QEMU hang"):
            kvm.perform(order(Verb.SAVE, vm), Heard(), time.monotonic() + 1)
        assert time.monotonic() - began < 30
    end = time.monotonic() + 30
    while True:  # whatever became of it, by then it can be ordered again
        with contextlib.suppress(Exception):
            assert done(kvm, Verb.SAVE, vm).detail == {"saved": True}
            break
        assert time.monotonic() < end
        time.sleep(1)


def test_an_image_that_is_not_whole_is_not_started_and_not_called_saved(
    world: Herd, kvm: Lifecycle, vm: str
) -> None:
    done(kvm, Verb.SAVE, vm)
    with image(world).open("r+b") as file:
        file.write(b"LibvirtQemudPart")  # as it is until the end is written

    with pytest.raises(NotPossible, match=r"not whole.*Start it afresh with discard_saved"):
        done(kvm, Verb.SAVE, vm)
    with pytest.raises(NotPossible, match="not whole: start it afresh with discard_saved"):
        done(kvm, Verb.START, vm)
    assert image(world).exists()
    assert done(kvm, Verb.START, vm, discard_saved=True).detail == {"restored": False}
    assert not image(world).exists()


def test_cpus_come_while_it_runs_and_go_with_its_next_start(
    world: Herd, kvm: Lifecycle, domain: libvirt.virDomain, vm: str
) -> None:
    provider = KvmProvider(uri=world.host.uri)
    lifecycle = provider.lifecycle()
    assert values(told_of(provider, vm), "vm.cpu.count") == [1]

    more = done(lifecycle, Verb.RESIZE, vm, vcpus=2, memory_mib=0, live=True)
    assert (more.changed, more.detail) == (True, {"vcpus": {"now": 2, "next_start": 2}})
    provider.changes(None)
    assert values(told_of(provider, vm), "vm.cpu.count") == [2]

    with pytest.raises(EffectFailed, match="device_del"):  # this machine's cannot be taken away
        done(lifecycle, Verb.RESIZE, vm, vcpus=1, memory_mib=0, live=True)
    assert domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_CONFIG) == 2
    fewer = done(lifecycle, Verb.RESIZE, vm, vcpus=1, memory_mib=0)
    assert fewer.detail == {"vcpus": {"now": 2, "next_start": 1}}
    assert fewer.text.startswith("vcpus: 1 from its next start on: ")
    provider.close()
    lifecycle.close()


def values(reading: Reading, name: str) -> list[float]:
    return [one.value for one in reading.samples if one.metric.name == name]


def test_a_guest_with_a_balloon_gives_memory_back_and_takes_it(world: Herd, kvm: Lifecycle) -> None:
    world.lab.wait_until_up()
    guest = world.lab.guests[0].uuid
    for size in (76, 80):
        resized = done(kvm, Verb.RESIZE, guest, memory_mib=size, live=True)
        assert resized.detail["memory_mib"]["now"] == size
        assert world.conn.lookupByUUIDString(guest).info()[2] == size * 1024


def test_a_guest_without_its_driver_is_told_of(
    world: Herd, kvm: Lifecycle, domain: libvirt.virDomain, vm: str
) -> None:
    with pytest.raises(NotPossible, match="memory_mib: its guest does not tell how much"):
        done(kvm, Verb.RESIZE, vm, memory_mib=8, live=True)
    resized = done(kvm, Verb.RESIZE, vm, memory_mib=8)
    assert resized.detail == {"memory_mib": {"now": 16, "next_start": 8}}
    assert "8 from its next start on: its guest does not tell" in resized.text


def test_a_topology_is_not_broken(world: Herd, kvm: Lifecycle) -> None:
    tree = ET.fromstring(spare_xml(world.conn.lookupByName(world.names[0]).XMLDesc(), "arranged"))
    cpu = tree.find("cpu")
    cpu = ET.SubElement(tree, "cpu") if cpu is None else cpu
    ET.SubElement(cpu, "topology", sockets="1", cores="2", threads="1")
    vcpu = tree.find("vcpu")
    assert vcpu is not None
    vcpu.text = "2"
    arranged = world.conn.defineXML(ET.tostring(tree, encoding="unicode"))
    vm = arranged.UUIDString()
    try:
        with pytest.raises(NotPossible, match="arranged in a topology or in NUMA cells, 2 at most"):
            done(kvm, Verb.RESIZE, vm, vcpus=4, memory_mib=0)
        assert done(kvm, Verb.RESIZE, vm, vcpus=1, memory_mib=0).detail == {
            "vcpus": {"next_start": 1}
        }
        assert done(kvm, Verb.START, vm).changed
        assert done(kvm, Verb.RESIZE, vm, vcpus=2, memory_mib=0, live=True).changed
        force(kvm, vm)
    finally:
        arranged.undefine()


def test_what_anothers_firmware_keeps_is_not_deleted_with_a_vm(
    world: Herd, kvm: Lifecycle, tmp_path: Path
) -> None:
    """As after `virsh domrename`: libvirt names it by the name that the VM had first."""
    nvram = tmp_path / "old_VARS.fd"
    nvram.write_bytes(bytes(4096))
    domains = []
    for name in ("renamed", "old"):
        tree = ET.fromstring(spare_xml(world.conn.lookupByName(world.names[0]).XMLDesc(), name))
        system = tree.find("os")
        assert system is not None
        loader = ET.SubElement(system, "loader", readonly="yes", type="pflash")
        loader.text = f"{tmp_path}/code.fd"
        ET.SubElement(system, "nvram").text = str(nvram)
        marks.write(ET.SubElement(tree, "metadata"), marks.Mark(command="c"))
        domains.append(world.conn.defineXML(ET.tostring(tree, encoding="unicode")))
    first, second = (one.UUIDString() for one in domains)

    with pytest.raises(NotPossible, match="firmware keeps its settings"):
        done(kvm, Verb.RENAME, first, new_name="another")
    gone = done(kvm, Verb.DELETE, second)
    assert [one["kind"] for one in gone.detail["kept"]] == ["nvram"]
    assert nvram.exists()
    assert done(kvm, Verb.DELETE, first).detail["kept"] == []
    assert not nvram.exists()


def test_what_novacron_knows_of_it_stays_and_its_new_name_is_told_at_once(
    world: Herd, kvm: Lifecycle, domain: libvirt.virDomain, vm: str
) -> None:
    changed = threading.Event()
    provider = KvmProvider(uri=world.host.uri)
    provider.watch(changed.set)
    force(kvm, vm)
    provider.scrape(None)
    provider.changes(None)
    changed.clear()

    done(kvm, Verb.RESIZE, vm, vcpus=3, memory_mib=32)
    with pytest.raises(NotPossible, match=f"this host has a VM named '{world.names[0]}' already"):
        done(kvm, Verb.RENAME, vm, new_name=world.names[0])
    assert done(kvm, Verb.RENAME, vm, new_name="Zoë & co").changed

    assert changed.wait(5)
    told = told_of(provider, vm, provider.changes(None).readings)
    assert (told.resource[VM_NAME], told.resource["team"]) == ("Zoë & co", "web")
    provider.close()
    mark = marks.mark_of(parsed(world.conn.lookupByName("Zoë & co").XMLDesc()))
    assert mark is not None
    assert mark.command == "c"
    assert done(kvm, Verb.START, vm).changed
