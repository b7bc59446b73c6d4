"""What stands against a VM, looked at before anything is made."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import libvirt

from novacron_agent.providers.kvm.creating.storage import size_of
from novacron_agent.providers.kvm.owned import volumes_of
from novacron_agent.providers.kvm.uses import User, overlays, users
from novacron_agent.providers.kvm.volumes import (
    Found,
    pool_of,
    refresh_all,
    shown,
    trusted,
    volume_of,
)
from novacron_agent.providers.lifecycle import NotPossible
from novacron_contract.vm_spec import Device, Disk, VmSpec, Volume

_MIB, _GIB = 1024**2, 1024**3


@dataclass(frozen=True, slots=True)
class Sources:
    """Volumes that are there already, as the spec names them."""

    found: dict[Volume, Found]


def check(conn: libvirt.virConnect, vm_id: str, spec: VmSpec) -> Sources:
    """
    Raises:
        NotPossible: something stands against it; nothing was done.
    """
    _is_new(conn, vm_id)
    _name_is_free(conn, spec.name)
    networks_are_there(conn, spec)
    sources = check_sources(conn, vm_id, spec)
    fits(conn, spec, sources)
    if spec.start:
        _memory_is_there(conn, spec.memory_mib)
    return sources


def check_sources(conn: libvirt.virConnect, vm_id: str, spec: VmSpec) -> Sources:
    if spec.volumes():
        refresh_all(conn)
    sources = Sources(
        {one: trusted(conn, one.volume, volume_of(conn, one.pool, one.volume))
         for one in spec.volumes()}
    )  # fmt: skip
    check_use(conn, vm_id, spec.disks, sources)
    return sources


def check_use(
    conn: libvirt.virConnect, vm_id: str, disks: Iterable[Disk], sources: Sources
) -> None:
    """Also once it is defined: two that are made at once see each other then."""
    made_from = [disk for disk in disks if disk.clone or disk.linked or disk.volume]
    others = users(conn, vm_id) if made_from else []
    for disk in made_from:
        if disk.clone is not None:
            _is_not_written(sources.found[disk.clone], others)
        elif disk.linked is not None:
            _does_not_change(sources.found[disk.linked], others)
        elif disk.volume is not None:
            reads = disk.device is Device.CDROM
            _is_nobodys(conn, sources.found[disk.volume], others, reads=reads)


def _is_new(conn: libvirt.virConnect, vm_id: str) -> None:
    for one in volumes_of(conn, vm_id):
        raise NotPossible(
            f"volume {shown(one.name())} is of a VM of this UUID, which may run on another host"
        )


def _name_is_free(conn: libvirt.virConnect, name: str) -> None:
    with contextlib.suppress(libvirt.libvirtError):
        conn.lookupByName(name)
        raise NotPossible(f"this host has a VM named {shown(name)} already")


def networks_are_there(conn: libvirt.virConnect, spec: VmSpec) -> None:
    for name in dict.fromkeys(one.network for one in spec.networks if one.network is not None):
        try:
            network = conn.networkLookupByName(name)
        except libvirt.libvirtError as err:
            if err.get_error_code() != libvirt.VIR_ERR_NO_NETWORK:
                raise
            there = ", ".join(sorted(one.name() for one in conn.listAllNetworks())) or "none"
            raise NotPossible(
                f"this host has no network {shown(name)}; it has {there[:500]}"
            ) from err
        if not network.isActive():
            raise NotPossible(f"network {shown(name)} is not active: start it")


def _is_not_written(source: Found, others: list[User]) -> None:
    for one in others:
        if one.is_active and source.is_in(one.writes):
            raise NotPossible(
                f"volume {shown(source.name)} is written by {shown(one.name)}, which runs: a copy "
                "would be of nothing whole; stop it"
            )


def _does_not_change(source: Found, others: list[User]) -> None:
    for one in others:
        if source.is_in(one.writes):
            raise NotPossible(
                f"volume {shown(source.name)} is a disk of {shown(one.name)}: what is built on it "
                "would break as soon as that writes; clone it"
            )


def _is_nobodys(
    conn: libvirt.virConnect, wanted: Found, others: list[User], *, reads: bool
) -> None:
    for one in others:
        if wanted.is_in(one.writes) or (not reads and wanted.is_in(one.reads)):
            raise NotPossible(f"volume {shown(wanted.name)} is used by {shown(one.name)}")
    if not reads:
        for other in overlays(conn):
            if other.is_on(wanted):
                raise NotPossible(
                    f"volume {shown(other.name)} is built on {shown(wanted.name)}, which must not "
                    "change any more: link it, or clone it"
                )


def fits(conn: libvirt.virConnect, spec: VmSpec, sources: Sources) -> None:
    """As if every new disk were written to its end: a guest whose pool is full stands still."""
    needed: defaultdict[str, int] = defaultdict(int)
    for disk in spec.disks:
        size = size_of(disk.size_gib or 0)
        if disk.clone is not None:
            needed[disk.where] += max(size, sources.found[disk.clone].capacity)
        elif disk.volume is None and disk.linked is None:
            needed[disk.where] += size
    if spec.cloud_init is not None:
        needed[spec.pools[0]] += _MIB
    for name, size in needed.items():
        available = pool_of(conn, name).info()[3]
        if size > available:
            raise NotPossible(
                f"pool {shown(name)} has {available / _GIB:.1f} GiB left, and the disks of this "
                f"VM are {size / _GIB:.1f} GiB"
            )


def _memory_is_there(conn: libvirt.virConnect, mib: int) -> None:
    """A hypervisor that does not tell is believed."""
    try:
        stats = conn.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS, 0)
    except libvirt.libvirtError:
        return
    free = sum(stats.get(one, 0) for one in ("free", "buffers", "cached")) // 1024
    if 0 < free < mib:
        raise NotPossible(f"this host has {free} MiB of memory left, and the VM is to have {mib}")
