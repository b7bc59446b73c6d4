"""Snapshots of VMs on a real host: what is kept comes back, and nothing half made is left."""

from __future__ import annotations

import re
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from creating_world import World, world_of
from kvm_herd import herd_of
from novacron_agent.providers.kvm.claims import removing
from novacron_agent.providers.kvm.markup import parsed
from novacron_agent.providers.kvm.snapshots import checks
from novacron_agent.providers.kvm.snapshots.images import snapshots_in, written_by
from novacron_agent.providers.lifecycle import NotPossible
from novacron_contract.commands import Verb
from novacron_contract.metrics import VmState
from snapshot_world import do, images, in_images, listed, made, reads, write

pytestmark = pytest.mark.lab


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
    world.clear()
    assert world.listing() == before


@pytest.fixture
def vm(world: World, as_before: None) -> str:
    """Off."""
    return made(world)


def disks_of(xml: str) -> list[str]:
    """Those that are written, as they stand there."""
    return [one for one in re.findall(r"<disk .*?</disk>", xml, re.DOTALL) if ".qcow2" in one]


def test_a_vm_that_is_off_is_as_it_was_after_going_back(world: World, vm: str) -> None:
    write(world, vm, "a")
    kept = do(world, Verb.SNAPSHOT, vm, snapshot="before the upgrade")
    write(world, vm, "b")
    later = do(world, Verb.SNAPSHOT, vm)

    assert kept.detail["snapshot"] == "before the upgrade"
    assert (kept.detail["memory"], kept.detail["state"]) == (False, "stopped")
    assert kept.text == "snapshot before the upgrade: disks"
    assert [one["snapshot"] for one in listed(world, vm)] == [
        later.detail["snapshot"], "before the upgrade",
    ]  # fmt: skip
    assert later.detail["parent"] == "before the upgrade"
    assert [one["current"] for one in listed(world, vm)] == [True, False]

    back = do(world, Verb.REVERT, vm, snapshot="before the upgrade")

    assert back.detail == {"snapshot": "before the upgrade", "state": "stopped"}
    assert reads(world, vm) == {"a"}
    do(world, Verb.REVERT, vm, snapshot=later.detail["snapshot"])
    assert reads(world, vm) == {"b"}


def test_children_stay_or_go_as_it_is_ordered(world: World, vm: str) -> None:
    for name in ("one", "two", "three"):
        do(world, Verb.SNAPSHOT, vm, snapshot=name)

    assert do(world, Verb.DELETE_SNAPSHOT, vm, snapshot="one").detail == {"gone": ["one"]}
    assert [one["parent"] for one in listed(world, vm)] == ["two", None]
    gone = do(world, Verb.DELETE_SNAPSHOT, vm, snapshot="two", children=True)
    assert sorted(gone.detail["gone"]) == ["three", "two"]
    assert in_images(world, vm) == [[], []]
    again = do(world, Verb.DELETE_SNAPSHOT, vm, snapshot="two")
    assert (again.changed, again.text) == (False, "the VM has no snapshot two")


def test_a_vm_that_runs_is_kept_with_its_memory_and_goes_on_there(world: World, vm: str) -> None:
    do(world, Verb.START, vm)
    with pytest.raises(NotPossible, match="the VM runs: order it with its memory, or stop it"):
        do(world, Verb.SNAPSHOT, vm)

    kept = do(world, Verb.SNAPSHOT, vm, snapshot="live", memory=True)

    assert (kept.detail["memory"], kept.detail["state"]) == (True, "running")
    assert in_images(world, vm) == [["live"], ["live"]]
    do(world, Verb.STOP, vm, force="now")
    back = do(world, Verb.REVERT, vm, snapshot="live")
    assert back.detail["state"] == "running"
    assert back.text == "it is as in snapshot live, and running"
    do(world, Verb.SUSPEND, vm)
    assert do(world, Verb.REVERT, vm, snapshot="live").detail["state"] == "running"
    assert do(world, Verb.DELETE_SNAPSHOT, vm, snapshot="live").changed
    assert in_images(world, vm) == [[], []]


def test_a_vm_that_runs_is_off_after_going_back_to_where_it_was_off(world: World, vm: str) -> None:
    do(world, Verb.SNAPSHOT, vm, snapshot="off")
    do(world, Verb.START, vm)

    back = do(world, Verb.REVERT, vm, snapshot="off")

    assert back.detail["state"] == VmState.STOPPED
    assert world.conn.lookupByUUIDString(vm).isActive() == 0


def test_memory_of_a_vm_that_is_off_is_none(world: World, vm: str) -> None:
    kept = do(world, Verb.SNAPSHOT, vm, snapshot="off", memory=True)
    assert (kept.detail["memory"], kept.text) == (False, "snapshot off: disks")


def test_a_deleted_vm_takes_its_snapshots_along(world: World, vm: str) -> None:
    do(world, Verb.SNAPSHOT, vm, snapshot="one")
    do(world, Verb.START, vm)
    do(world, Verb.SNAPSHOT, vm, snapshot="two", memory=True)

    planned = do(world, Verb.DELETE, vm, plan=True).detail["plan"]

    told = {(one["kind"], one["name"]) for one in planned}
    assert {("snapshot", "one"), ("snapshot", "two")} <= told
    assert do(world, Verb.DELETE, vm, force=True).changed


@pytest.mark.usefixtures("as_before")
def test_what_holds_no_snapshot_is_refused_and_told_what_to_do(world: World) -> None:
    raw = made(world, disks=[{"size_gib": 0.01}, {"size_gib": 0.01, "format": "raw"}])
    with pytest.raises(NotPossible, match=r"disk vdb is raw, and only qcow2 .* qemu-img convert"):
        do(world, Verb.SNAPSHOT, raw)
    world.clear()
    none = made(world, disks=[])
    with pytest.raises(NotPossible, match="no disk that is written"):
        do(world, Verb.SNAPSHOT, none)
    world.clear()
    saved = made(world)
    do(world, Verb.START, saved)
    do(world, Verb.SNAPSHOT, saved, snapshot="live", memory=True)
    world.conn.lookupByUUIDString(saved).managedSave(0)
    for verb in (Verb.SNAPSHOT, Verb.REVERT):
        with pytest.raises(NotPossible, match="its memory is saved"):
            do(world, verb, saved, snapshot="live" if verb is Verb.REVERT else "other")


def test_firmware_that_keeps_its_settings_elsewhere_is_refused(world: World, vm: str) -> None:
    domain = world.conn.lookupByUUIDString(vm)
    flash = "<loader readonly='yes' type='pflash'>/f</loader><nvram>/n</nvram></os>"
    world.conn.defineXML(domain.XMLDesc().replace("</os>", flash))
    with pytest.raises(NotPossible, match=r"firmware \(EFI\)"):
        do(world, Verb.SNAPSHOT, vm)


def test_a_snapshot_that_libvirt_does_not_know_is_not_written_over(world: World, vm: str) -> None:
    second = images(world, vm)[1]
    subprocess.run(("qemu-img", "snapshot", "-c", "by hand", second), check=True)

    with pytest.raises(NotPossible, match=r"disk vdb has a snapshot 'by hand' that libvirt does"):
        do(world, Verb.SNAPSHOT, vm, snapshot="by hand")

    do(world, Verb.SNAPSHOT, vm, snapshot="ours")
    assert in_images(world, vm) == [["ours"], ["by hand", "ours"]]
    with pytest.raises(NotPossible, match="has a snapshot 'ours' already"):
        do(world, Verb.SNAPSHOT, vm, snapshot="ours")


def test_a_disk_in_no_pool_gets_no_name_that_somebody_chose(world: World, vm: str) -> None:
    elsewhere = world.folder / "elsewhere.qcow2"
    subprocess.run(("qemu-img", "create", "-q", "-f", "qcow2", elsewhere, "1M"), check=True)
    domain = world.conn.lookupByUUIDString(vm)
    world.conn.defineXML(domain.XMLDesc().replace(str(images(world, vm)[1]), str(elsewhere)))

    with pytest.raises(NotPossible, match=r"disk vdb is in no active pool.*leave the name out"):
        do(world, Verb.SNAPSHOT, vm, snapshot="chosen")
    assert do(world, Verb.SNAPSHOT, vm).changed
    elsewhere.unlink()


def test_memory_that_does_not_fit_is_refused(world: World, vm: str) -> None:
    domain = world.conn.lookupByUUIDString(vm)
    free = world.conn.storagePoolLookupByName("default").info()[3] // 1024
    domain.create()
    xml = domain.XMLDesc()
    size = "<currentMemory unit='KiB'>65536<"
    assert size in xml

    tree = parsed(xml.replace(size, f"<currentMemory unit='KiB'>{free + 4096}<"))
    with pytest.raises(NotPossible, match=r"pool 'default' has .* GiB left, and the snapshot may"):
        checks.fits(world.conn, written_by(tree), checks.memory_of(tree))


def test_a_vm_that_was_changed_since_becomes_as_it_was_with_force_alone(
    world: World, vm: str
) -> None:
    do(world, Verb.SNAPSHOT, vm, snapshot="then")
    domain = world.conn.lookupByUUIDString(vm)
    xml = domain.XMLDesc().replace("<vcpu placement='static'>1<", "<vcpu placement='static'>2<")
    disk = "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/x'/>"
    xml = xml.replace("</devices>", f"{disk}<target dev='vdz'/></disk></devices>")
    world.conn.defineXML(xml)

    with pytest.raises(NotPossible, match=r"virtual CPUs, disk vdz \(new since\); with force"):
        do(world, Verb.REVERT, vm, snapshot="then")
    do(world, Verb.REVERT, vm, snapshot="then", force=True)

    assert ">1</vcpu>" in domain.XMLDesc()
    assert "vdz" not in domain.XMLDesc()


def test_rights_do_not_come_back_with_a_snapshot(world: World, vm: str) -> None:
    do(world, Verb.SNAPSHOT, vm, snapshot="then")
    domain = world.conn.lookupByUUIDString(vm)
    xml = domain.XMLDesc()
    world.conn.defineXML(xml.replace(">web</", ">db</"))

    for force in (False, True):
        with pytest.raises(NotPossible, match="its owner or tags were others then"):
            do(world, Verb.REVERT, vm, snapshot="then", force=force)


def test_a_disk_that_is_another_vms_by_now_is_left_alone(world: World, vm: str) -> None:
    write(world, vm, "a")
    do(world, Verb.SNAPSHOT, vm, snapshot="then")
    write(world, vm, "b")
    disk = images(world, vm)[1]
    domain = world.conn.lookupByUUIDString(vm)
    xml = domain.XMLDesc()
    taken = disks_of(xml)[1]
    assert str(disk) in taken
    world.conn.defineXML(xml.replace(taken, ""))
    other = xml.replace(f"<uuid>{vm}<", f"<uuid>{uuid.uuid4()}<")
    other = other.replace("<name>kept<", "<name>other<")
    world.conn.defineXML(other)

    with pytest.raises(NotPossible, match=r"disk vd[ab] is used by 'other' now"):
        do(world, Verb.REVERT, vm, snapshot="then", force=True)

    with pytest.raises(NotPossible, match=r"vd[ab] is used by 'other' now, and its image has"):
        do(world, Verb.DELETE_SNAPSHOT, vm, snapshot="then")
    assert in_images(world, vm) == [["then"], ["then"]]
    assert reads(world, vm) == {"b"}


def test_a_disk_that_is_another_vms_by_the_name_of_its_volume_is_left_alone(
    world: World, vm: str
) -> None:
    do(world, Verb.SNAPSHOT, vm, snapshot="then")
    disk, xml = images(world, vm)[1], world.conn.lookupByUUIDString(vm).XMLDesc()
    first, second = disks_of(xml)
    source = f"<source pool='default' volume='{disk.name}'/>"
    theirs = second.replace("type='file' device", "type='volume' device")
    theirs = theirs.replace(f"<source file='{disk}'/>", source)
    assert source in theirs
    world.conn.defineXML(xml.replace(second, ""))
    other = xml.replace(first, "").replace(second, theirs).replace("<name>kept<", "<name>other<")
    world.conn.defineXML(other.replace(f"<uuid>{vm}<", f"<uuid>{uuid.uuid4()}<"))

    with pytest.raises(NotPossible, match="disk vdb is used by 'other' now"):
        do(world, Verb.REVERT, vm, snapshot="then", force=True)


def test_a_disk_that_came_since_keeps_its_own_snapshot_of_that_name(world: World, vm: str) -> None:
    do(world, Verb.SNAPSHOT, vm, snapshot="nightly")
    told = do(world, Verb.ATTACH_DISK, vm, disk={"size_gib": 0.01}).detail
    new = world.pool("default") / told["volume"]
    subprocess.run(("qemu-img", "snapshot", "-c", "nightly", new), check=True)
    do(world, Verb.START, vm)

    with pytest.raises(NotPossible, match="got since has, or may have, a snapshot 'nightly'"):
        do(world, Verb.DELETE_SNAPSHOT, vm, snapshot="nightly")
    assert in_images(world, vm) == [["nightly"]] * 3
    do(world, Verb.STOP, vm, force="now")
    assert do(world, Verb.DELETE_SNAPSHOT, vm, snapshot="nightly").changed
    assert sorted(in_images(world, vm)) == [[], [], ["nightly"]]
    assert in_images(world, vm)[images(world, vm).index(new)] == ["nightly"]


def test_what_starts_is_looked_at_and_not_what_is_defined_alone(world: World, vm: str) -> None:
    """Its second disk is out of its definition, and stays in it until its end."""
    do(world, Verb.START, vm)
    domain = world.conn.lookupByUUIDString(vm)
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    world.conn.defineXML(xml.replace(disks_of(xml)[1], ""))
    do(world, Verb.SNAPSHOT, vm, snapshot="then", memory=True)
    do(world, Verb.STOP, vm, force="now")
    world.conn.storageVolLookupByPath(str(images(world, vm)[1])).delete()

    with pytest.raises(NotPossible, match=r"disk vdb is '.*', which is not there any more"):
        do(world, Verb.REVERT, vm, snapshot="then", force=True)


def test_what_is_built_on_a_disk_does_not_break(world: World, vm: str) -> None:
    do(world, Verb.SNAPSHOT, vm, snapshot="then")
    disk, on_top = images(world, vm)[0], world.pool("images") / "on-top.qcow2"
    create = ("qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "qcow2", on_top)
    subprocess.run(create, check=True)

    with pytest.raises(NotPossible, match=r"'on-top\.qcow2' is built on disk vda, and would break"):
        do(world, Verb.REVERT, vm, snapshot="then", force=True)
    on_top.unlink()
    assert do(world, Verb.REVERT, vm, snapshot="then").changed


def test_what_libvirt_works_at_is_left_alone(
    world: World, vm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration, a backup."""
    do(world, Verb.SNAPSHOT, vm, snapshot="then")
    working = [libvirt.VIR_DOMAIN_JOB_UNBOUNDED]
    monkeypatch.setattr(libvirt.virDomain, "jobInfo", lambda _: working)
    for verb, name in (
        (Verb.SNAPSHOT, "other"), (Verb.REVERT, "then"), (Verb.DELETE_SNAPSHOT, "then"),
    ):  # fmt: skip
        with pytest.raises(NotPossible, match="libvirt works at the VM's disks or memory"):
            do(world, verb, vm, snapshot=name)


def test_what_was_made_by_hand_in_other_files_is_left_to_hands(world: World, vm: str) -> None:
    domain = world.conn.lookupByUUIDString(vm)
    domain.create()
    files = "".join(
        f"<disk name='{name}' snapshot='external'><source file='{world.pool('images')}/{name}'/>"
        "</disk>" for name in ("vda", "vdb")
    )  # fmt: skip
    outer = f"<domainsnapshot><name>outer</name><disks>{files}</disks></domainsnapshot>"
    domain.snapshotCreateXML(outer, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY)

    assert [one["external"] for one in listed(world, vm)] == [True]
    with pytest.raises(NotPossible, match="made by hand: go back to it by hand, too"):
        do(world, Verb.REVERT, vm, snapshot="outer")
    with pytest.raises(NotPossible, match="made by hand: remove it by hand, too"):
        do(world, Verb.DELETE_SNAPSHOT, vm, snapshot="outer")
    do(world, Verb.DELETE, vm, force=True)


@pytest.mark.parametrize("name", ["Zoë: before 2.0+x", "ü" * 60])
def test_names_are_names_and_nothing_else(world: World, vm: str, name: str) -> None:
    do(world, Verb.START, vm)
    do(world, Verb.SNAPSHOT, vm, snapshot=name, memory=True)
    do(world, Verb.REVERT, vm, snapshot=name)
    assert in_images(world, vm) == [[name], [name]]
    volume = world.conn.storageVolLookupByPath(str(images(world, vm)[0]))
    assert [one.name for one in snapshots_in(world.conn, volume)] == [name]
    do(world, Verb.STOP, vm, force="now")
    do(world, Verb.REVERT, vm, snapshot=name)
    do(world, Verb.DELETE_SNAPSHOT, vm, snapshot=name)
    assert in_images(world, vm) == [[], []]


def test_a_disk_that_has_lost_it_keeps_all_others_as_they_are(world: World, vm: str) -> None:
    write(world, vm, "a")
    do(world, Verb.SNAPSHOT, vm, snapshot="then")
    write(world, vm, "b")
    subprocess.run(("qemu-img", "snapshot", "-d", "then", images(world, vm)[1]), check=True)

    with pytest.raises(NotPossible, match=r"disk vdb has no snapshot 'then' \(any more\)"):
        do(world, Verb.REVERT, vm, snapshot="then", force=True)

    assert reads(world, vm) == {"b"}
    assert do(world, Verb.DELETE_SNAPSHOT, vm, snapshot="then").changed


@pytest.mark.parametrize("runs", [False, True])
def test_a_vm_that_was_renamed_since_keeps_its_name_and_its_snapshots(
    world: World, vm: str, runs: bool
) -> None:
    if runs:
        do(world, Verb.START, vm)
    do(world, Verb.SNAPSHOT, vm, snapshot="first", memory=runs)
    if runs:
        do(world, Verb.STOP, vm, force="now")
    do(world, Verb.RENAME, vm, new_name="renamed")

    back = do(world, Verb.REVERT, vm, snapshot="first")
    assert back.detail["state"] == ("running" if runs else "stopped")
    domain = world.conn.lookupByName("renamed")
    for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
        assert parsed(domain.XMLDesc(flags)).findtext("name") == "renamed"
    assert domain.UUIDString() == vm
    do(world, Verb.DELETE_SNAPSHOT, vm, snapshot="first")
    assert listed(world, vm) == []


def test_a_saved_vm_is_started_before_a_snapshot_is_made_or_gone_back_to(
    world: World, vm: str
) -> None:
    do(world, Verb.SNAPSHOT, vm, snapshot="first")
    do(world, Verb.START, vm)
    do(world, Verb.SAVE, vm)
    refused = r"its memory is saved.* start the VM first, or start it afresh with discard_saved"
    with pytest.raises(NotPossible, match=refused):
        do(world, Verb.SNAPSHOT, vm, memory=True)
    with pytest.raises(NotPossible, match=refused):
        do(world, Verb.REVERT, vm, snapshot="first", force=True)
    assert do(world, Verb.START, vm).detail["restored"] is True
    assert do(world, Verb.SNAPSHOT, vm, memory=True).detail["memory"] is True


def test_a_disk_that_was_detached_since_comes_back_and_one_that_came_since_stays_a_volume(
    world: World, vm: str
) -> None:
    write(world, vm, "a")
    do(world, Verb.SNAPSHOT, vm, snapshot="first")
    with pytest.raises(NotPossible, match="snapshots of the VM need it"):
        do(world, Verb.DETACH_DISK, vm, disk="vdb", delete_volume=True)
    with pytest.raises(NotPossible, match="is within disk vdb, and of its size: delete it first"):
        do(world, Verb.GROW_DISK, vm, disk="vdb", size_gib=0.02)
    do(world, Verb.DETACH_DISK, vm, disk="vdb")
    new = do(world, Verb.ATTACH_DISK, vm, disk={"size_gib": 0.01}).detail
    assert new["disk"] == "vdb"
    write(world, vm, "b")
    do(world, Verb.GROW_DISK, vm, disk="vdb", size_gib=0.02)  # it has no snapshot

    with pytest.raises(NotPossible, match=r"changed since: disk vdb; with force"):
        do(world, Verb.REVERT, vm, snapshot="first")
    do(world, Verb.REVERT, vm, snapshot="first", force=True)
    assert new["volume"] not in world.conn.lookupByUUIDString(vm).XMLDesc(0)
    assert reads(world, vm) == {"a", "b"}  # in two of its own, and in the new one
    gone = do(world, Verb.DELETE, vm).detail["plan"]
    assert f"default/{new['volume']}" in [one["name"] for one in gone]


def test_a_snapshot_that_libvirt_does_not_know_keeps_a_disk_from_growing(
    world: World, vm: str
) -> None:
    path = images(world, vm)[0]
    subprocess.run(("qemu-img", "snapshot", "-c", "by hand", path), check=True)
    with pytest.raises(NotPossible, match=r"snapshot 'by hand' is within disk vda"):
        do(world, Verb.GROW_DISK, vm, disk="vda", size_gib=0.02)


def test_another_size_is_told_and_taken_back_with_force(world: World, vm: str) -> None:
    do(world, Verb.SNAPSHOT, vm, snapshot="first")
    do(world, Verb.RESIZE, vm, vcpus=2, memory_mib=80)
    with pytest.raises(NotPossible, match="changed since: virtual CPUs, memory; with force"):
        do(world, Verb.REVERT, vm, snapshot="first")
    do(world, Verb.REVERT, vm, snapshot="first", force=True)
    assert not do(world, Verb.RESIZE, vm, vcpus=1, memory_mib=64).changed


def test_a_disk_that_came_while_it_ran_is_out_after_going_back_with_force(
    world: World, vm: str
) -> None:
    do(world, Verb.START, vm)
    do(world, Verb.SNAPSHOT, vm, snapshot="first", memory=True)
    new = do(world, Verb.ATTACH_DISK, vm, disk={"size_gib": 0.01}).detail["disk"]
    do(world, Verb.SNAPSHOT, vm, snapshot="second", memory=True)
    with pytest.raises(NotPossible, match=rf"changed since: disk {new} \(new since\); with force"):
        do(world, Verb.REVERT, vm, snapshot="first")

    for name, has in (("first", ["vda", "vdb"]), ("second", ["vda", "vdb", new])):
        back = do(world, Verb.REVERT, vm, snapshot=name, force=True)
        assert back.detail["state"] == "running"
        tree = parsed(world.conn.lookupByUUIDString(vm).XMLDesc(0))
        assert [one.target for one in written_by(tree)] == has
    for name in ("first", "second"):
        do(world, Verb.DELETE_SNAPSHOT, vm, snapshot=name)
    assert (listed(world, vm), in_images(world, vm)) == ([], [[], [], []])


def test_a_disk_that_is_being_removed_just_now_is_not_brought_back(world: World, vm: str) -> None:
    do(world, Verb.SNAPSHOT, vm, snapshot="first")
    do(world, Verb.DETACH_DISK, vm, disk="vdb")
    going = world.conn.storageVolLookupByPath(str(images(world, vm)[1]))
    with removing([going]), pytest.raises(NotPossible, match="used or removed by another"):
        do(world, Verb.REVERT, vm, snapshot="first", force=True)
    do(world, Verb.REVERT, vm, snapshot="first", force=True)
