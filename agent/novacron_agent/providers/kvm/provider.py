"""KvmProvider: every guest of one libvirt, and the host as libvirt sees it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import libvirt

from novacron_agent.identity import Machine
from novacron_agent.providers.kvm import host
from novacron_agent.providers.kvm.connection import Connection, is_local, run_folder
from novacron_agent.providers.kvm.guests import Guests
from novacron_agent.readings import Reading, Scrape
from novacron_contract.settings import setting

# The groups that hold a metric of the contract; the others cost a round trip to every QEMU.
_GROUPS = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
# A guest with a job at hand (a migration, a snapshot) gives what it can instead of waiting.
_FLAGS = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT


@dataclass(frozen=True, kw_only=True)
class KvmProvider:
    uri: str = setting("qemu:///system", doc="libvirt's URI")

    def scrape(self, machine: Machine | None) -> Scrape:
        return self._connection.use(lambda conn: self._scrape(conn, machine))

    def close(self) -> None:
        self._connection.close()

    def _scrape(self, conn: libvirt.virConnect, machine: Machine | None) -> Scrape:
        resource = self._host_resource(conn, machine)
        is_qemu = conn.getType() == "QEMU"
        time_ns = time.time_ns()
        records = conn.getAllDomainStats(_GROUPS, _FLAGS)
        if not is_qemu:
            records = [(domain, _with_info(domain, stats)) for domain, stats in records]
        guests = self._guests.read(records, resource, time_ns)
        reading = Reading(resource, time_ns)
        self._hypervisor.read(reading, conn, self._guests.counts())
        return Scrape([reading, *guests])

    def _host_resource(
        self, conn: libvirt.virConnect, machine: Machine | None
    ) -> dict[str, str | float]:
        """The agent's own machine where the hypervisor is on it, else what libvirt knows."""
        merged = machine is not None and is_local(self.uri)
        known = machine.resource if machine is not None and merged else host.described(conn)
        return {**known, "libvirt.version": host.version(conn.getLibVersion())}

    # Made on first use, not on construction: the agent starts while libvirtd is down.

    @cached_property
    def _connection(self) -> Connection:
        return Connection(self.uri)

    @cached_property
    def _guests(self) -> Guests:
        return Guests(run_folder(self.uri))

    @cached_property
    def _hypervisor(self) -> host.Hypervisor:
        return host.Hypervisor()


def _with_info(domain: Any, stats: Mapping[str, Any]) -> dict[str, Any]:
    """Drivers other than QEMU's put only the state into bulk statistics; info() has the basics."""
    _state, maximum_kib, memory_kib, cpus, cpu_ns = domain.info()
    basics = {"vcpu.current": cpus, "balloon.maximum": maximum_kib}
    if domain.isActive():
        basics |= {"balloon.current": memory_kib, "cpu.time": cpu_ns}
    return {**basics, **stats}
