"""One scrape of this machine: every group of metrics, a failing one leaving the others alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from novacron_agent.host import clock, disks, memory, network, numa, pages, pressure, system
from novacron_agent.host.apart import Apart
from novacron_agent.host.cpu import Cpu
from novacron_agent.host.filesystems import Filesystems
from novacron_agent.host.sensors import read_sensors
from novacron_agent.host.smart import SOCKET, Smart
from novacron_agent.identity import Machine
from novacron_agent.readings import Reading, Scrape

# What psutil raises on a /proc it does not expect, besides its own errors.
_UNREADABLE = (OSError, psutil.Error, RuntimeError, ValueError, LookupError)
_SELDOM_S = 60.0
_SMART_S = 300.0


class Host:
    """Keeps what utilization needs from one scrape to the next."""

    def __init__(self, machine: Machine, smart_socket: Path = SOCKET) -> None:
        self._machine = machine
        self._boot = psutil.boot_time()  # once: it moves when the clock is corrected
        filesystems = Filesystems()
        self.groups: dict[str, Callable[[Reading], None]] = {
            "cpu": Cpu().read,
            "load": system.read_load,
            "memory": memory.read_memory,
            "paging": memory.read_paging,
            "pressure": pressure.read_pressure,
            "disk": disks.read_disks,
            "filesystem": filesystems.read,
            "network": network.read_network,
            "conntrack": network.read_conntrack,
            "processes": system.read_processes,
            "uptime": partial(system.read_uptime, boot=self._boot),
            "clock": clock.read_clock,
        }
        self.apart: dict[str, Apart] = {
            "huge pages": Apart(pages.read_hugepages, self._begin, _SELDOM_S),
            "KSM": Apart(pages.read_ksm, self._begin, _SELDOM_S),
            "NUMA": Apart(numa.read_numa, self._begin, _SELDOM_S),
            "links": Apart(network.read_links, self._begin, _SELDOM_S),
            "sensors": Apart(read_sensors, self._begin, _SELDOM_S),
            "SMART": Apart(Smart(smart_socket).read, self._begin, _SMART_S),
        }

    def scrape(self) -> Scrape:
        scrape = Scrape([self._begin()])
        for name, read in self.groups.items():
            try:
                read(scrape.readings[0])
            except _UNREADABLE as err:
                scrape.failures.append(f"{name} cannot be measured: {err}")
        for name, apart in self.apart.items():
            try:
                found = apart.take()
            except _UNREADABLE as err:
                scrape.failures.append(f"{name} cannot be measured: {err}")
            else:
                scrape.readings += [found] if found else []
        return scrape

    def _begin(self) -> Reading:
        return Reading(self._machine.resource, time.time_ns(), int(self._boot * 1e9))
