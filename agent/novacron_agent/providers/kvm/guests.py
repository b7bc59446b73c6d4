"""The guests of one hypervisor, and what must be remembered of each between two scrapes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt

from novacron_agent.providers.kvm import statistics
from novacron_agent.providers.kvm.description import Description, described
from novacron_agent.providers.kvm.monitor import Answer
from novacron_agent.providers.kvm.process import Process, Usage
from novacron_agent.providers.kvm.saved import is_restored
from novacron_agent.providers.kvm.states import is_elsewhere, may_be_restored, vm_state
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

    resource: Resource
    run: int = _OFF
    started_ns: int = 0
    state: VmState | None = None
    cpu_time: tuple[float, int] | None = None  # seconds, at time_ns
    description: Description = field(default_factory=Description)
    described_ns: int = 0
    process: Process | None = None
    is_stopped: bool = False  # its QEMU, by a signal: it will not answer
    is_elsewhere: bool = False  # another host answers for it, at least for now

    @property
    def is_running(self) -> bool:
        return self.run != _OFF

    @property
    def labelled(self) -> Resource:
        return {**self.description.labels, **self.resource}


class Guests:
    """For one thread. `run_folder`: where the hypervisor keeps the pid files of its QEMUs."""

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
            uuid = domain.UUIDString()
            before = known.get(uuid)
            if _is_elsewhere(domain, stats):
                if before is not None:  # it comes back, if a migration fails
                    self._guests[uuid] = before
                    before.is_elsewhere = True
                continue
            guest = self._guests[uuid] = before or Guest(_resource(domain, uuid, host))
            guest.resource[VM_NAME] = domain.name()
            guest.is_elsewhere = False
            self._note_run(guest, domain, time_ns, seen_before=before is not None)
            readings.append(self._measured(guest, domain, stats, time_ns))
        return readings

    def change(self, domain: Any, stats: Stats, host: Resource, time_ns: int) -> Reading | None:
        """The state alone, of a guest that has just changed; what else is new of it comes with the
        next scrape."""
        if _is_elsewhere(domain, stats):
            return None
        uuid = domain.UUIDString()
        guest = self._guests.setdefault(uuid, Guest(_resource(domain, uuid, host)))
        guest.resource[VM_NAME] = domain.name()
        guest.described_ns = 0
        self._note_run(guest, domain, time_ns, seen_before=True)
        _describe(guest, domain, stats, time_ns)
        reading = Reading(guest.labelled, time_ns, guest.started_ns)
        _add_state(reading, guest, vm_state(stats["state.state"], stats["state.reason"]))
        return reading

    def ended(self, uuid: str, state: VmState, time_ns: int) -> Reading | None:
        """The last word on a guest that is gone with its end."""
        guest = self._guests.pop(uuid, None)
        if guest is None:
            return None
        reading = Reading(guest.labelled, time_ns)
        _add_state(reading, guest, state)
        return reading

    def answered(self, answer: Answer) -> Reading | None:
        """What its QEMU said when it was asked; None if it is gone, or was started again since."""
        guest = self._guests.get(answer.uuid)
        if guest is None or guest.run != answer.run or guest.is_elsewhere:
            return None
        stats = answer.stats
        reading = Reading(guest.labelled, answer.time_ns, guest.started_ns)
        statistics.add_job(reading, answer.job)
        statistics.add_disks(reading, stats, running=guest.is_running)
        if guest.is_running:
            statistics.add_memory(reading, stats)
            if guest.process is None:
                statistics.add_cpu(reading, stats)
                statistics.add_rss(reading, stats)
                statistics.add_vcpus(reading, stats)
                _add_utilization(reading, guest, _seconds(stats))
        return reading

    def is_running(self, uuid: str) -> bool:
        guest = self._guests.get(uuid)
        return guest is not None and guest.is_running

    def items(self) -> list[tuple[str, Guest]]:
        """Those that this host answers for."""
        return [(uuid, guest) for uuid, guest in self._guests.items() if not guest.is_elsewhere]

    def counts(self) -> dict[VmState, int]:
        """How many guests are in each state; a state nobody is in counts 0."""
        counts = dict.fromkeys(VmState, 0)
        for guest in self._guests.values():
            if guest.is_elsewhere:
                continue
            counts[guest.state or VmState.UNKNOWN] += 1
        return counts

    def _note_run(self, guest: Guest, domain: Any, time_ns: int, *, seen_before: bool) -> None:
        """A guest that was started again counts from 0, so nothing of the last run holds."""
        run = domain.ID()
        if run == guest.run:
            return
        guest.run = run
        guest.cpu_time, guest.process, guest.is_stopped = None, None, False
        guest.described_ns = 0
        pid_file = self._pid_file(domain.name()) if run != _OFF else None
        # Without a pid file only a start that happened between two scrapes has a known time.
        # Guessing "now" at the agent's own start would look like a reset of every counter.
        fallback = time_ns if seen_before else 0
        guest.started_ns = (_written_ns(pid_file) or fallback) if run != _OFF else 0
        guest.process = Process.of(pid_file) if pid_file is not None else None

    def _pid_file(self, name: str) -> Path | None:
        if self._run_folder is None or "/" in name or "\0" in name:
            return None
        return self._run_folder / f"{name}.pid"

    def _measured(self, guest: Guest, domain: Any, stats: Stats, time_ns: int) -> Reading:
        _describe(guest, domain, stats, time_ns)
        reading = Reading(guest.labelled, time_ns, guest.started_ns)
        _add_state(reading, guest, vm_state(stats["state.state"], stats["state.reason"]))
        reading.add("vm.cpu.count", guest.description.cpus)
        reading.add("vm.memory.limit", guest.description.memory)
        if guest.is_running:
            statistics.add_networks(reading, stats, guest.description.macs)
            usage = guest.process.usage() if guest.process is not None else None
            if usage is not None:
                _add_process(reading, guest, usage)
            else:
                statistics.add_cpu(reading, stats)
                _add_utilization(reading, guest, _seconds(stats))
                statistics.add_memory(reading, stats)
        return reading


def _resource(domain: Any, uuid: str, host: Resource) -> Resource:
    return {
        VM_ID: uuid,
        VM_NAME: domain.name(),
        VM_HOST_ID: host[HOST_ID],
        VM_HOST_NAME: host[HOST_NAME],
    }


def _written_ns(pid_file: Path | None) -> int | None:
    if pid_file is not None:
        with contextlib.suppress(OSError, ValueError):
            return pid_file.stat().st_mtime_ns
    return None


def _add_state(reading: Reading, guest: Guest, state: VmState) -> None:
    if guest.state not in (None, state):
        reading.add("vm.state", 0, {"vm.state": str(guest.state)})
    reading.add("vm.state", 1, {"vm.state": str(state)})
    guest.state = state


def _is_elsewhere(domain: Any, stats: Stats) -> bool:
    state = stats["state.state"], stats["state.reason"]
    return is_elsewhere(*state) and not (may_be_restored(*state) and is_restored(domain))


def _describe(guest: Guest, domain: Any, stats: Stats, time_ns: int) -> None:
    """Read its XML, which asks no QEMU, when what is known is too old or lacks an interface."""
    is_old = (time_ns - guest.described_ns) / 1e9 > _XML_AGE_S
    if is_old or not guest.description.macs.keys() >= set(statistics.interfaces(stats)):
        with contextlib.suppress(libvirt.libvirtError):  # the guest is gone since
            guest.description = described(domain.XMLDesc())
            guest.described_ns = time_ns


def _add_process(reading: Reading, guest: Guest, usage: Usage) -> None:
    guest.is_stopped = usage.is_stopped
    reading.add("vm.cpu.time", usage.cpu_s)
    _add_utilization(reading, guest, usage.cpu_s)
    reading.add("libvirt.memory.rss", usage.rss)
    for number, (ran, waited) in usage.vcpus.items():
        of = {"cpu.logical_number": number}
        reading.add("libvirt.vcpu.time", ran, of)
        reading.add("libvirt.vcpu.delay_time", waited, of)
    for way, size in (usage.io or {}).items():
        reading.add("libvirt.process.disk.io", size, {"disk.io.direction": way})


def _seconds(stats: Stats) -> float | None:
    nanoseconds = statistics.known(stats, "cpu.time")
    return None if nanoseconds is None else nanoseconds / 1e9


def _add_utilization(reading: Reading, guest: Guest, now: float | None) -> None:
    """Nothing where this says nothing of CPU time; what was known of it holds."""
    if now is None:
        return
    last, guest.cpu_time = guest.cpu_time, (now, reading.time_ns)
    cpus = guest.description.cpus
    if last is None or not cpus or reading.time_ns <= last[1]:
        return
    elapsed = (reading.time_ns - last[1]) / 1e9
    reading.add("vm.cpu.utilization", max(0.0, (now - last[0]) / elapsed / cpus))
