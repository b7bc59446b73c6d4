"""KvmProvider: every guest of one libvirt, and the host as libvirt sees it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import libvirt

from novacron_agent.finding import Finding
from novacron_agent.identity import Machine
from novacron_agent.providers.kvm import host
from novacron_agent.providers.kvm.check import check
from novacron_agent.providers.kvm.connection import Connection, is_local, run_folder
from novacron_agent.providers.kvm.events import Changes
from novacron_agent.providers.kvm.guests import Guest, Guests
from novacron_agent.providers.kvm.lifecycle import KvmLifecycle
from novacron_agent.providers.kvm.poll import Candidate, Poll
from novacron_agent.providers.kvm.resources import Resources, resources
from novacron_agent.readings import Group, Reading, Scrape
from novacron_contract.errors import Unavailable
from novacron_contract.metrics import VM_ID, VmState
from novacron_contract.settings import setting

# What asks no QEMU. Every other group is a round trip to each, and hangs with the first that does.
_SAFE = libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_INTERFACE
_EVERY = (
    _SAFE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
_POLLED = "qemu"  # the group of metrics that guests' QEMUs are asked for
_ROUND_S = 2.0  # so long a scrape waits for the round it began; what is late comes with the next
_CLOSING_S = 1.0
_RESTART_S = 3.0  # so long a scrape waits for a libvirtd that has just gone


@dataclass(slots=True)
class _Watched:
    """Where changes are told; nobody listens at first."""

    notify: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class KvmProvider:
    uri: str = setting("qemu:///system", doc="libvirt's URI")
    disk_interval: float = setting(
        "30s", unit="s", minimum=1, maximum=3600, doc="Time between two questions for disks"
    )
    memory_interval: float = setting(
        "30s", unit="s", minimum=1, maximum=3600, doc="The same for memory inside guests"
    )
    cpu_interval: float = setting(
        "30s",
        unit="s",
        minimum=1,
        maximum=3600,
        doc="The same for CPUs, of guests whose processes cannot be seen from here",
    )
    storage_interval: float = setting(
        "60s", unit="s", minimum=1, maximum=3600, doc="The same for pools and networks"
    )
    _watched: _Watched = field(default_factory=_Watched, init=False, repr=False, compare=False)

    def scrape(self, machine: Machine | None) -> Scrape:
        # The scrape does not see guests that are gone with their end: theirs is the last word.
        changed = self._changes.take()
        ended = {uuid: state for uuid, state in changed.items() if changed[uuid] is not None}
        last_words = Scrape()
        with contextlib.suppress(Unavailable):  # they are kept, and the scrape says what is wrong
            last_words = self._told(machine, ended) if ended else last_words
        scrape = self._connection.use(lambda conn: self._scrape(conn, machine))
        scrape.readings += last_words.readings
        return scrape

    def changes(self, machine: Machine | None) -> Scrape:
        return self._told(machine, self._changes.take())

    def _told(self, machine: Machine | None, changed: dict[str, VmState | None]) -> Scrape:
        scrape = Scrape()
        try:
            self._connection.use(lambda conn: self._tell(conn, machine, changed, scrape))
        except Unavailable:
            self._changes.put_back(changed)
            if not scrape.readings:
                raise
        return scrape

    def watch(self, notify: Callable[[], None]) -> None:
        self._watched.notify = notify

    def check(self, patience_s: float) -> list[Finding]:
        return check(self.uri, patience_s)

    def lifecycle(self) -> KvmLifecycle:
        return KvmLifecycle(self.uri, self._changes.note)

    def close(self) -> None:
        self._connection.close()
        self._poll.close(_CLOSING_S)

    def _scrape(self, conn: libvirt.virConnect, machine: Machine | None) -> Scrape:
        resource = self._host_resource(conn, machine)
        time_ns = time.time_ns()
        is_qemu = conn.getType() == "QEMU"
        records = conn.getAllDomainStats(_SAFE if is_qemu else _EVERY)
        if not is_qemu:
            records = [(domain, _with_info(domain, stats)) for domain, stats in records]
        guests = self._guests.read(records, resource, time_ns)
        reading = Reading(resource, time_ns)
        self._hypervisor.read(reading, conn, self._guests.counts())
        scrape = Scrape([reading, *guests])
        if is_qemu:
            self._add_polled(scrape, resource, guests)
        return scrape

    def _add_polled(
        self, scrape: Scrape, resource: dict[str, str | float], guests: list[Reading]
    ) -> None:
        """What guests' QEMUs, pools and networks say, if not by now then with the next scrape."""
        known = self._guests.items()
        self._poll.begin(_candidate(uuid, guest) for uuid, guest in known if not guest.is_stopped)
        found = self._poll.take(_ROUND_S)
        answered = map(self._guests.answered, found.answers)
        scrape.readings += [reading for reading in answered if reading is not None]
        if found.other is not None:
            scrape.readings.append(found.other.reading(resource))
        scrape.failures += found.failures
        stuck = {uuid for uuid, guest in known if guest.is_stopped} | self._poll.hanging
        for reading in guests:
            uuid = str(reading.resource[VM_ID])
            if self._guests.is_running(uuid):
                reading.add("libvirt.monitor.responding", int(uuid not in stuck))
        scrape.groups[_POLLED] = Group(found.seconds, len(stuck))

    def _tell(
        self,
        conn: libvirt.virConnect,
        machine: Machine | None,
        changed: dict[str, VmState | None],
        scrape: Scrape,
    ) -> None:
        """What is told leaves `changed`: on another connection the rest is told."""
        resource = self._host_resource(conn, machine) if changed else {}
        for uuid, ended in list(changed.items()):
            reading = self._change(conn, resource, uuid, ended)
            del changed[uuid]
            if reading is not None:
                scrape.readings.append(reading)

    def _change(
        self,
        conn: libvirt.virConnect,
        resource: dict[str, str | float],
        uuid: str,
        ended: VmState | None,
    ) -> Reading | None:
        time_ns = time.time_ns()
        try:
            domain = conn.lookupByUUIDString(uuid)
        except libvirt.libvirtError as err:
            if err.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            return None if ended is None else self._guests.ended(uuid, ended, time_ns)
        records = conn.domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_STATE)
        for domain, stats in records:
            return self._guests.change(domain, stats, resource, time_ns)
        return None

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
        return Connection(self.uri, self._changes.watch, self._changes.forget, _RESTART_S)

    @cached_property
    def _changes(self) -> Changes:
        return Changes(lambda: self._watched.notify())

    @cached_property
    def _guests(self) -> Guests:
        return Guests(run_folder(self.uri))

    @cached_property
    def _hypervisor(self) -> host.Hypervisor:
        return host.Hypervisor()

    @cached_property
    def _poll(self) -> Poll[Resources]:
        intervals = {
            libvirt.VIR_DOMAIN_STATS_BLOCK: self.disk_interval,
            libvirt.VIR_DOMAIN_STATS_BALLOON: self.memory_interval,
            libvirt.VIR_DOMAIN_STATS_CPU_TOTAL: self.cpu_interval,
            libvirt.VIR_DOMAIN_STATS_VCPU: self.cpu_interval,
        }
        return Poll(self.uri, intervals, resources, self.storage_interval)


def _candidate(uuid: str, guest: Guest) -> Candidate:
    return Candidate(uuid, guest.run, guest.is_running, guest.process is not None)


def _with_info(domain: Any, stats: Mapping[str, Any]) -> dict[str, Any]:
    """Drivers other than QEMU's put only the state into bulk statistics; info() has the basics."""
    _state, _maximum_kib, memory_kib, cpus, cpu_ns = domain.info()
    basics = {"vcpu.current": cpus}
    if domain.isActive():
        basics |= {"balloon.current": memory_kib, "cpu.time": cpu_ns}
    return {**basics, **stats}
