"""The guests of one hypervisor, and what must be remembered of each between two scrapes."""

from __future__ import annotations

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt

from novacron_agent.providers.kvm import statistics
from novacron_agent.providers.kvm.states import is_elsewhere, vm_state
from novacron_agent.providers.kvm.statistics import Stats
from novacron_agent.readings import Reading
from novacron_contract.metrics import (
    HOST_ID,
    HOST_NAME,
    VM_HOST_ID,
    VM_HOST_NAME,
    VM_ID,
    VM_NAME,
    VmState,
)

_OFF = -1  # libvirt's id of a domain that does not run
_XML_AGE_S = 300  # an interface's name may be given to another one in between
Resource = dict[str, str | float]


@dataclass(slots=True)
class Guest:
    """What is remembered of one guest. `run` is libvirt's id: a new one at every start."""

    run: int = _OFF
    started_ns: int = 0
    state: VmState | None = None
    cpu_time: tuple[float, int] | None = None  # seconds, at time_ns
    macs: dict[str, str] = field(default_factory=dict)
    macs_read_ns: int = 0


class Guests:
    def __init__(self, run_folder: Path | None) -> None:
        self._run_folder = run_folder
        self._guests: dict[str, Guest] = {}

    def read(
        self, records: Iterable[tuple[Any, Stats]], host: Resource, time_ns: int
    ) -> list[Reading]:
        """One reading per guest that this host answers for; those that are gone are forgotten."""
        known, self._guests = self._guests, {}
        readings = []
        for domain, stats in records:
            if is_elsewhere(stats["state.state"], stats["state.reason"]):
                continue
            uuid = domain.UUIDString()
            guest = self._guests[uuid] = known.get(uuid) or Guest()
            self._note_run(guest, domain, time_ns, seen_before=uuid in known)
            resource: Resource = {
                VM_ID: uuid,
                VM_NAME: domain.name(),
                VM_HOST_ID: host[HOST_ID],
                VM_HOST_NAME: host[HOST_NAME],
            }
            reading = Reading(resource, time_ns, guest.started_ns)
            _fill(reading, guest, domain, stats)
            readings.append(reading)
        return readings

    def counts(self) -> dict[VmState, int]:
        """How many guests are in each state; a state nobody is in counts 0."""
        counts = dict.fromkeys(VmState, 0)
        for guest in self._guests.values():
            counts[guest.state or VmState.UNKNOWN] += 1
        return counts

    def _note_run(self, guest: Guest, domain: Any, time_ns: int, *, seen_before: bool) -> None:
        """A guest that was started again counts from 0, so nothing of the last run holds."""
        run = domain.ID()
        if run == guest.run:
            return
        guest.run = run
        guest.cpu_time, guest.macs, guest.macs_read_ns = None, {}, 0
        # Without a pid file only a start that happened between two scrapes has a known time.
        # Guessing "now" at the agent's own start would look like a reset of every counter.
        fallback = time_ns if seen_before else 0
        guest.started_ns = (self._pid_file_time(domain.name()) or fallback) if run != _OFF else 0

    def _pid_file_time(self, name: str) -> int | None:
        if self._run_folder is None or "/" in name:
            return None
        with contextlib.suppress(OSError, ValueError):
            return (self._run_folder / f"{name}.pid").stat().st_mtime_ns
        return None


def _fill(reading: Reading, guest: Guest, domain: Any, stats: Stats) -> None:
    state = vm_state(stats["state.state"], stats["state.reason"])
    if guest.state not in (None, state):
        reading.add("vm.state", 0, {"vm.state": str(guest.state)})
    reading.add("vm.state", 1, {"vm.state": str(state)})
    guest.state = state
    running = guest.run != _OFF
    statistics.add_size(reading, stats, running=running)
    if running:
        statistics.add_usage(reading, stats, _macs(guest, domain, stats, reading.time_ns))
        _add_utilization(reading, guest, stats)


def _add_utilization(reading: Reading, guest: Guest, stats: Stats) -> None:
    nanoseconds = statistics.known(stats, "cpu.time")
    now = None if nanoseconds is None else nanoseconds / 1e9
    last, guest.cpu_time = guest.cpu_time, None if now is None else (now, reading.time_ns)
    cpus = statistics.known(stats, "vcpu.current")
    if now is None or last is None or not cpus or reading.time_ns <= last[1]:
        return
    elapsed = (reading.time_ns - last[1]) / 1e9
    reading.add("vm.cpu.utilization", max(0.0, (now - last[0]) / elapsed / cpus))


def _macs(guest: Guest, domain: Any, stats: Stats, time_ns: int) -> dict[str, str]:
    """The MAC behind each interface name, from the domain's XML: read again when it is too old or
    lacks a name."""
    names = statistics.interfaces(stats)
    is_old = (time_ns - guest.macs_read_ns) / 1e9 > _XML_AGE_S
    if names and (is_old or not guest.macs.keys() >= set(names)):
        with contextlib.suppress(libvirt.libvirtError):  # the guest ended since
            guest.macs = macs_of(domain.XMLDesc())
            guest.macs_read_ns = time_ns
    return guest.macs


def macs_of(xml: str) -> dict[str, str]:
    """{the host's interface name: MAC}, from a running domain's XML."""
    found = {}
    for interface in ET.fromstring(xml).iterfind("devices/interface"):
        target, mac = interface.find("target"), interface.find("mac")
        if target is not None and mac is not None:
            found[target.get("dev", "")] = mac.get("address", "").lower()
    return found
