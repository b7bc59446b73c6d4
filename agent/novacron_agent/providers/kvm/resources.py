"""A host's storage pools and networks, as libvirt last saw them: nothing is refreshed for it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import libvirt

from novacron_agent.readings import Reading

_MOST = 1000  # of each: a name is a series


@dataclass(frozen=True, slots=True)
class Pool:
    """In bytes; nothing of one that is not active."""

    active: bool
    limit: int | None = None
    usage: int | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """`leases`: addresses that its DHCP server has given out."""

    active: bool
    leases: int | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    pools: dict[str, Pool]
    networks: dict[str, Network]
    time_ns: int

    def reading(self, host: dict[str, str | float]) -> Reading:
        reading = Reading(host, self.time_ns)
        for name, pool in self.pools.items():
            of = {"libvirt.pool.name": name}
            reading.add("libvirt.pool.active", int(pool.active), of)
            reading.add("libvirt.pool.limit", pool.limit, of)
            reading.add("libvirt.pool.usage", pool.usage, of)
        for name, network in self.networks.items():
            of = {"libvirt.network.name": name}
            reading.add("libvirt.network.active", int(network.active), of)
            reading.add("libvirt.network.lease.count", network.leases, of)
        return reading


def resources(conn: libvirt.virConnect) -> Resources:
    pools, networks = dict[str, Pool](), dict[str, Network]()
    with contextlib.suppress(libvirt.libvirtError):  # the hypervisor has none
        for pool in conn.listAllStoragePools()[:_MOST]:
            with contextlib.suppress(libvirt.libvirtError):  # it is gone since
                pools[pool.name()] = _pool(pool)
    with contextlib.suppress(libvirt.libvirtError):
        for network in conn.listAllNetworks()[:_MOST]:
            with contextlib.suppress(libvirt.libvirtError):
                networks[network.name()] = _network(network)
    return Resources(pools, networks, time.time_ns())


def _pool(pool: libvirt.virStoragePool) -> Pool:
    if not pool.isActive():
        return Pool(active=False)
    _state, capacity, allocation, _available = pool.info()
    return Pool(True, capacity, allocation)


def _network(network: libvirt.virNetwork) -> Network:
    if not network.isActive():
        return Network(active=False)
    leases = None
    with contextlib.suppress(libvirt.libvirtError):  # a bridge that others serve has none
        leases = len(network.DHCPLeases())
    return Network(True, leases)
