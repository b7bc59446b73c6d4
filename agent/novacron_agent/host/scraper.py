"""One scrape of this machine: every group of metrics, a failing one leaving the others alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import psutil

from novacron_agent.host import disks, memory, network, system
from novacron_agent.host.cpu import Cpu
from novacron_agent.host.filesystems import Filesystems
from novacron_agent.identity import Machine
from novacron_agent.readings import Reading, Scrape

# What psutil raises on a /proc it does not expect, besides its own errors.
_UNREADABLE = (OSError, psutil.Error, RuntimeError, ValueError, LookupError)


class Host:
    """Keeps what utilization needs from one scrape to the next."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._boot = psutil.boot_time()  # once: it moves when the clock is corrected
        filesystems = Filesystems()
        self.groups: dict[str, Callable[[Reading], None]] = {
            "cpu": Cpu().read,
            "load": system.read_load,
            "memory": memory.read_memory,
            "swap": memory.read_swap,
            "disk": disks.read_disks,
            "filesystem": filesystems.read,
            "network": network.read_network,
            "processes": system.read_processes,
            "uptime": partial(system.read_uptime, boot=self._boot),
        }

    def scrape(self) -> Scrape:
        reading = Reading(self._machine.resource, time.time_ns(), int(self._boot * 1e9))
        scrape = Scrape([reading])
        for name, read in self.groups.items():
            try:
                read(reading)
            except _UNREADABLE as err:
                scrape.failures.append(f"{name} cannot be measured: {err}")
        return scrape
