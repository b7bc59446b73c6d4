"""A KVM host measured tick by tick, as an agent does it, and how regularly each guest was."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Iterable
from functools import partial

from novacron_agent.counts import Counts
from novacron_agent.providers.kvm import KvmProvider
from novacron_agent.readings import Reading, Scrape
from novacron_agent.sources import Source, collect
from novacron_contract.metrics import VM_NAME
from provider_contract import guests, values

log = logging.getLogger(__name__)
_PATIENCE = 0.8  # of a tick
_EARLY = 0.2  # of a tick: so exact ticks are on a busy machine


class Ticks:
    """`network`, `disks`: seconds at which each guest was measured, by its name. `responding`: of
    each tick, 1 or 0 by name."""

    def __init__(self, uri: str, tick_s: float, disks_s: float) -> None:
        kvm = KvmProvider(uri=uri, disk_interval=disks_s, memory_interval=disks_s)
        self._source = Source("kvm", partial(kvm.scrape, None), Counts(), kvm.close)
        self.tick_s, self.disks_s = tick_s, disks_s
        self.due = time.monotonic()
        self.network: dict[str, list[float]] = {}
        self.disks: dict[str, list[float]] = {}
        self.responding: list[dict[str, float]] = []
        self.longest = self.last_s = 0.0

    def tick(self, times: int = 1) -> list[Reading]:
        """Each at its time; what the last one found."""
        found: list[Reading] = []
        for _ in range(times):
            time.sleep(max(0.0, self.due - time.monotonic()))
            self.due += self.tick_s
            found = self._tick()
        return found

    def close(self) -> None:
        self._source.end(2)

    def _tick(self) -> list[Reading]:
        self.last_s, started = time.time(), time.monotonic()
        readings = collect([self._source], self.tick_s * _PATIENCE)
        self.longest = max(self.longest, time.monotonic() - started)
        for reading in readings:
            name = str(reading.resource.get(VM_NAME, ""))
            for seen, metric in ((self.network, "vm.network.io"), (self.disks, "vm.disk.io")):
                if values(reading, metric):
                    seen.setdefault(name, []).append(reading.time_ns / 1e9)
        found = guests(Scrape(readings))
        self.responding.append(
            {
                str(guest.resource[VM_NAME]): answers
                for guest in found
                for answers in values(guest, "libvirt.monitor.responding").values()
            }
        )
        return found

    def judge(self, what: str, names: list[str], waiting_s: float = 0.0) -> None:
        """Say how it went, and that none of these was left out. Of disks nobody is asked while
        somebody is waited for, and once more where that took longer than a tick."""
        network = self.missed(self.network, names, self.tick_s)
        disks = self.missed(self.disks, names, self.disks_s)
        log.info(
            "%s: %d guests beside it, ticks of %g s, disks every %g s; of one guest at most %d "
            "ticks missed, and %d of disks; the longest tick took %.2f s",
            *(what, len(names), self.tick_s, self.disks_s),
            *(max(network.values()), max(disks.values()), self.longest),
        )
        assert {name: ticks for name, ticks in network.items() if ticks} == {}
        allowed = math.ceil(waiting_s / self.disks_s) + 1
        assert {name: times for name, times in disks.items() if times > allowed} == {}

    def missed(
        self, seen: dict[str, list[float]], names: Iterable[str], every_s: float
    ) -> dict[str, int]:
        """How many values of a guest are missing between two, or after its last one until the
        last tick: the worst case of each."""
        return {
            name: max(
                math.floor((later - before) / every_s + _EARLY) - 1
                for before, later in itertools.pairwise([*seen[name], self.last_s])
            )
            for name in names
        }
