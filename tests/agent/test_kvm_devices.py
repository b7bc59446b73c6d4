"""Devices of VMs: what is chosen for them, and what libvirt's own in-memory hypervisor has."""

from __future__ import annotations

import itertools
import time
import uuid
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any, cast

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle_contract import Heard, order
from novacron_agent.providers.kvm.control import Control
from novacron_agent.providers.kvm.creating.domain import lettered
from novacron_agent.providers.kvm.devices import AttachNic
from novacron_agent.providers.kvm.devices.detach_disk import boot_disk
from novacron_agent.providers.kvm.devices.guest import Guest, target_of
from novacron_agent.providers.kvm.devices.new_disk import free_target
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.kvm.marks import Mark, Owned, bare
from novacron_agent.providers.kvm.markup import parsed, written
from novacron_agent.providers.kvm.owned import volumes_of
from novacron_agent.providers.lifecycle import EffectFailed
from novacron_contract.commands import VERBS, Verb
from novacron_contract.errors import BadMessage
from novacron_contract.metrics import VmState
from novacron_contract.vm_spec import Disk
from novacron_contract.vm_spec.devices import disk_json, mac, parse_disk
from novacron_contract.vm_spec.shapes import as_json

NAMES = st.lists(st.sampled_from([lettered("vd", number) for number in range(60)]), unique=True)


def tree_of(*targets: str, orders: dict[str, int] | None = None) -> ET.Element:
    devices = "".join(
        f"<disk><target dev='{one}' bus='virtio'/>"
        + (f"<boot order='{orders[one]}'/>" if orders and one in orders else "")
        + "</disk>"
        for one in targets
    )
    return parsed(f"<domain><devices>{devices}</devices></domain>")


@given(runs=NAMES, defined=NAMES)
def test_a_new_disk_has_the_first_name_that_none_has(runs: list[str], defined: list[str]) -> None:
    domain = cast(libvirt.virDomain, None)
    guest = Guest(domain, VmState.RUNNING, tree_of(*defined), tree_of(*runs))

    name = free_target(guest, Disk(size_gib=1))

    used = {*runs, *defined}
    assert name not in used
    before = [lettered("vd", number) for number in range(60)]
    assert {*itertools.takewhile(name.__ne__, before)} <= used


@pytest.mark.parametrize(
    ("orders", "boots"),
    [({}, "vda"), ({"vdb": 1}, "vdb"), ({"vda": 2, "vdc": 1}, "vdc"), ({"vdz": 1}, "vda")],
)
def test_which_disk_a_vm_was_started_from(orders: dict[str, int], boots: str) -> None:
    disk = boot_disk(tree_of("vda", "vdb", "vdc", orders=orders))
    assert disk is not None
    assert target_of(disk) == boots
    assert boot_disk(tree_of()) is None


@given(command=st.uuids(version=4))
def test_a_card_without_an_address_has_the_same_one_each_time(command: uuid.UUID) -> None:
    one = order(Verb.ATTACH_NIC, str(uuid.uuid4()))
    made = [
        AttachNic(Control("test:///default"), replace(one, id=str(command)), Heard(), 0.0).network
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert made[0].mac is not None
    assert mac(made[0].mac, "") == made[0].mac


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20)


@given(owner=TEXT, value=TEXT, pool=TEXT)
def test_a_mark_without_its_namespace_says_the_same(owner: str, value: str, pool: str) -> None:
    """libvirt adds that to every element of what it is given."""
    mark = Mark(command="c", owner=owner, tags={"a": value}, owned=(Owned(pool, value),))
    tree = parsed(written(bare(mark)))
    assert [one.tag for one in tree.iter()] == [
        *("vm", *(("owner",) if owner else ()), "tag", "owned")
    ]
    assert tree.findtext("tag") in (value, None if value else "")
    assert tree.attrib == {"command": "c"}


@given(
    st.builds(
        dict,
        size_gib=st.floats(0.001, 65536),
        bus=st.sampled_from(["virtio", "scsi", "sata"]),
        pool=st.from_regex(r"[a-z][a-z ]{0,9}", fullmatch=True),
    )
)
def test_a_disk_says_the_same_on_its_way(raw: dict[str, Any]) -> None:
    said = disk_json(raw, "disk")
    assert disk_json(said, "disk") == said
    assert as_json(parse_disk(raw, "disk")) == said


@pytest.mark.parametrize(
    ("verb", "arguments", "says"),
    [
        (Verb.ATTACH_DISK, {}, "arguments: disk: expected size_gib (a new disk), or one of clone"),
        (Verb.ATTACH_DISK, {"disk": {"file": "/etc/shadow"}}, "arguments: disk: unknown: 'file'"),
        (Verb.ATTACH_DISK, {"disk": {"volume": {"volume": "../a"}}}, "disk.volume.volume: expect"),
        (Verb.ATTACH_NIC, {"nic": {"bridge": "a b"}}, "arguments: nic.bridge: expected the name"),
        (Verb.DETACH_DISK, {"disk": "/etc/shadow"}, "such as vda, or as POOL/VOLUME"),
        (Verb.DETACH_DISK, {"disk": "a/b/c"}, "such as vda, or as POOL/VOLUME"),
        (Verb.DETACH_NIC, {"mac": "ff:ff:ff:ff:ff:ff"}, "the MAC address of one card"),
        (Verb.GROW_DISK, {"disk": "vda"}, "size_gib: expected a number from 0.000976562 to 65536"),
        (Verb.GROW_DISK, {"disk": "vda", "size_gib": float("nan")}, "size_gib: expected a number"),
    ],
)
def test_what_is_no_device_is_refused(verb: Verb, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(BadMessage) as refused:
        VERBS[verb].parse(arguments)
    assert says in str(refused.value)


def test_where_the_hypervisor_takes_no_devices_nothing_stays() -> None:
    """libvirt's own one, in many releases."""
    conn = libvirt.open("test:///default")
    [vm] = [one.UUIDString() for one in conn.listAllDomains()]
    pool = conn.listAllStoragePools()[0].name()
    kvm = KvmLifecycle("test:///default")
    disk = {"size_gib": 0.001, "pool": pool}
    try:
        made = kvm.perform(order(Verb.ATTACH_DISK, vm, disk=disk), Heard(), time.monotonic() + 60)
    except EffectFailed:
        assert not volumes_of(conn, vm)
    else:
        assert [one.name() for one in volumes_of(conn, vm)] == [made.detail["volume"]]
    finally:
        kvm.close()
