"""VMs of a lab host, and orders about their disks."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import libvirt

from creating_world import World, order_of, perform
from novacron_agent.providers.kvm.markup import parsed
from novacron_agent.providers.lifecycle import Done
from novacron_contract.commands import Verb

LEAST: dict[str, Any] = {"name": "made", "memory_mib": 96, "virtualization": "qemu"}


def vm() -> str:
    return str(uuid.uuid4())


def create(world: World, vm_id: str, **spec: Any) -> dict[str, Any]:
    done = perform(world.host.uri, order_of(Verb.CREATE, vm_id, spec={**LEAST, **spec}))
    return dict(done.detail)


def delete(world: World, vm_id: str) -> dict[str, Any]:
    return dict(perform(world.host.uri, order_of(Verb.DELETE, vm_id, force=True)).detail)


def attach(world: World, vm_id: str, **disk: Any) -> Done:
    return perform(world.host.uri, order_of(Verb.ATTACH_DISK, vm_id, disk=disk))


def detach(world: World, vm_id: str, disk: str, **how: Any) -> Done:
    return perform(world.host.uri, order_of(Verb.DETACH_DISK, vm_id, disk=disk, **how))


def grow(world: World, vm_id: str, disk: str, size_gib: float) -> Done:
    order = order_of(Verb.GROW_DISK, vm_id, disk=disk, size_gib=size_gib)
    return perform(world.host.uri, order)


def running(world: World, vm_id: str) -> list[str]:
    """Its devices, as libvirt calls them."""
    tree = parsed(world.conn.lookupByUUIDString(vm_id).XMLDesc())
    return [one.get("name", "") for one in tree.iterfind("devices/*/alias")]


def disks(world: World, vm_id: str) -> list[tuple[str, ...]]:
    """Their names for the host: as it is now, and as it is defined."""
    domain = world.conn.lookupByUUIDString(vm_id)
    trees = [parsed(domain.XMLDesc(of)) for of in (0, libvirt.VIR_DOMAIN_XML_INACTIVE)]
    return [
        tuple(one.get("dev", "") for one in tree.iterfind("devices/disk/target")) for tree in trees
    ]


def off(world: World, name: str) -> Path:
    """A volume that is nobody's."""
    pool = world.conn.storagePoolLookupByName("default")
    xml = f"<volume><name>{name}</name><capacity unit='MiB'>1</capacity><target>"
    pool.createXML(f"{xml}<format type='qcow2'/></target></volume>", 0)
    return world.pool("default") / name
