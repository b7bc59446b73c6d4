"""Volumes that are made with a VM: new, copied, built on another, and the seed."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import libvirt

from novacron_agent.providers.kvm.marks import prefix
from novacron_agent.providers.kvm.markup import add, written
from novacron_agent.providers.kvm.volumes import (
    Found,
    found,
    is_read_as,
    pool_of,
    shown,
    trusted,
    volume_of,
)
from novacron_agent.providers.lifecycle import NotPossible
from novacron_contract.vm_spec import Disk, Format, Volume

_GIB, _SECTOR = 1024**3, 512


def size_of(gib: float) -> int:
    """In bytes, whole sectors."""
    return -(-int(gib * _GIB) // _SECTOR) * _SECTOR


def make_disk(conn: libvirt.virConnect, name: str, disk: Disk) -> Found:
    """`name`: without what its format adds to it."""
    if disk.clone is not None:
        return _cloned(conn, name, disk.clone, disk.size_gib)
    if disk.linked is not None:
        return _linked(conn, name, disk.linked, disk.size_gib)
    assert disk.size_gib is not None
    xml = volume(f"{name}.{disk.format}", size_of(disk.size_gib), disk.format)
    return found(pool_of(conn, disk.pool).createXML(written(xml), 0))


def make_seed(conn: libvirt.virConnect, vm_id: str, pool: str, content: bytes) -> Found:
    xml = volume(f"{prefix(vm_id)}seed.img", len(content), Format.RAW)
    made = pool_of(conn, pool).createXML(written(xml), 0)
    stream = conn.newStream()
    made.upload(stream, 0, len(content), 0)
    sent = 0
    while sent < len(content):
        sent += stream.send(content[sent : sent + 65536])
    stream.finish()
    return found(made)


def volume(name: str, capacity: int, format_: str) -> ET.Element:
    """Space is taken as it is written."""
    tree = ET.Element("volume")
    add(tree, "name", name)
    add(tree, "capacity", capacity, unit="bytes")
    add(tree, "allocation", 0, unit="bytes")
    target = add(tree, "target")
    add(target, "format", type=format_)
    if format_ == Format.QCOW2:
        add(target, "compat", "1.1")
    return tree


def _cloned(conn: libvirt.virConnect, name: str, of: Volume, gib: float | None) -> Found:
    there = volume_of(conn, of.pool, of.volume)
    source = trusted(conn, of.volume, there)
    if not is_read_as(there, source.format):
        raise NotPossible(
            f"volume {shown(of.volume)} is {source.format}, and begins as an image of another "
            "format: libvirt would copy what that names"
        )
    xml = volume(f"{name}.{source.format}", source.capacity, source.format)
    made = pool_of(conn, of.pool).createXMLFrom(written(xml), there, 0)
    wanted = size_of(gib or 0)
    if wanted > source.capacity:
        made.resize(wanted, 0)
    return found(made)


def _linked(conn: libvirt.virConnect, name: str, of: Volume, gib: float | None) -> Found:
    source = trusted(conn, of.volume, volume_of(conn, of.pool, of.volume))
    capacity = max(source.capacity, size_of(gib or 0))
    xml = volume(f"{name}.qcow2", capacity, Format.QCOW2)
    backing = add(xml, "backingStore")
    add(backing, "path", source.path)
    add(backing, "format", type=source.format)
    return found(pool_of(conn, of.pool).createXML(written(xml), 0))
