"""VMs made on a real host where others run, and are being made and removed at the same time."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import libvirt
import pytest

from creating_world import World, order_of, perform, world_of
from kvm_herd import herd_of
from novacron_agent.providers.kvm.volumes import refresh_all
from novacron_agent.providers.lifecycle import NotPossible
from novacron_contract.commands import Verb

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]
_BASE = {"pool": "images", "volume": "base.qcow2"}
_DISK_ONLY = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
_NO_METADATA = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA


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
    world.clear()  # so that one test fails, and not all that follow
    refresh_all(world.conn)
    assert after == before


def create(world: World, name: str, *disks: dict[str, Any], **more: Any) -> str:
    vm = str(uuid.uuid4())
    spec = {"name": name, "memory_mib": 32, "virtualization": "qemu", "paused": True}
    spec |= {"disks": list(disks), **more}
    perform(world.host.uri, order_of(Verb.CREATE, vm, spec=spec))
    return vm


def delete(world: World, vm: str) -> None:
    detail = perform(world.host.uri, order_of(Verb.DELETE, vm, force=True)).detail
    assert not [one for one in detail["kept"] if vm in one["name"]]


def test_what_runs_on_an_image_is_no_obstacle_to_others_on_it(world: World) -> None:
    """libvirt lists the image among the disks of each that runs."""
    first = create(world, "first", {"linked": _BASE})
    assert "base.qcow2" in world.conn.lookupByUUIDString(first).XMLDesc()

    second = create(world, "second", {"linked": _BASE}, {"clone": _BASE})

    with pytest.raises(NotPossible, match=r"'base\.qcow2' is used by '(first|second)'"):
        create(world, "third", {"volume": _BASE})
    for vm in (first, second):
        delete(world, vm)


@pytest.mark.parametrize("flags", [_DISK_ONLY, _DISK_ONLY | _NO_METADATA])
def test_its_own_disk_below_a_snapshot_is_its_disk_still(world: World, flags: int) -> None:
    vm = create(world, "first", {"linked": _BASE})
    disk = f"novacron-{vm}-disk0.qcow2"
    on_top = world.pool("images") / "on-top.qcow2"
    world.conn.lookupByUUIDString(vm).snapshotCreateXML(_snapshot(on_top), flags)

    with pytest.raises(NotPossible, match=r"is a disk of 'first': .* clone it"):
        create(world, "second", {"linked": {"pool": "images", "volume": disk}})
    with pytest.raises(NotPossible, match="is written by 'first', which runs"):
        create(world, "second", {"clone": {"pool": "images", "volume": disk}})
    other = create(world, "second", {"linked": _BASE})

    delete(world, vm)
    delete(world, other)


def test_the_disk_that_was_snapshotted_of_a_vm_made_by_hand_is_its_disk_still(
    world: World,
) -> None:
    pool = world.conn.storagePoolLookupByName("images")
    image = "<volume><name>hand.qcow2</name><capacity unit='MiB'>1</capacity><target>"
    disk = pool.createXML(f"{image}<format type='qcow2'/></target></volume>", 0)
    domain = world.conn.createXML(
        "<domain type='qemu'><name>by-hand</name><memory>32768</memory><os><type>hvm</type></os>"
        "<devices><disk type='file'><driver name='qemu' type='qcow2'/>"
        f"<source file='{disk.path()}'/><target dev='vda'/></disk></devices></domain>",
        libvirt.VIR_DOMAIN_START_PAUSED,
    )
    on_top = world.pool("images") / "on-top.qcow2"
    domain.snapshotCreateXML(_snapshot(on_top), _DISK_ONLY)

    with pytest.raises(NotPossible, match=r"'hand\.qcow2' is a disk of 'by-hand'"):
        create(world, "other", {"linked": {"pool": "images", "volume": "hand.qcow2"}})

    domain.destroy()
    on_top.unlink()
    disk.delete(0)


def _snapshot(file: Path) -> str:
    return (
        "<domainsnapshot><name>outer</name><disks><disk name='vda' snapshot='external'>"
        f"<source file='{file}'/></disk></disks></domainsnapshot>"
    )


def test_many_are_made_and_removed_at_once(world: World) -> None:
    """Each sees volumes and domains of others in the middle of being made, and of going."""
    kinds: list[list[dict[str, Any]]] = [
        [{"linked": _BASE}],
        [{"size_gib": 1 / 64}, {"linked": _BASE}],
        [{"size_gib": 1 / 64, "format": "raw"}],
        [{"clone": _BASE}],
    ]

    def live(number: int) -> None:
        seed = {"user_data": "#cloud-config\n"}
        vm = create(world, f"n{number}", *kinds[number % len(kinds)], cloud_init=seed)
        delete(world, vm)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(live, range(16)))
