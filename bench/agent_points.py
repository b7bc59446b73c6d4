"""What the agent's own code takes for a point: recorded statistics of 1,000 guests to the spool.

They are what libvirt said of a live guest of two disks, two interfaces and four virtual CPUs, under
other names and with other figures for each guest and each tick.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt

from novacron_agent.delivery.counts import DeliveryCounts
from novacron_agent.delivery.spool import Limits, Spool
from novacron_agent.otlp import Encoder
from novacron_agent.providers.kvm.guests import Guests
from novacron_agent.providers.kvm.monitor import Answer

_GUESTS, _TICKS = 1000, 9
_HOST: dict[str, str | float] = {"host.id": "bench", "host.name": "kvm-1"}
_DISK = (
    "rd.reqs",
    "rd.bytes",
    "rd.times",
    "wr.reqs",
    "wr.bytes",
    "wr.times",
    "fl.reqs",
    "fl.times",
)
_NET = tuple(f"{way}.{of}" for way in ("rx", "tx") for of in ("bytes", "pkts", "errs", "drop"))
_BALLOON = (
    "current", "maximum", "swap_in", "swap_out", "major_fault", "minor_fault", "unused",
    "available", "usable", "disk_caches", "hugetlb_pgalloc", "hugetlb_pgfail", "rss",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Domain:
    """What the agent asks of libvirt's object when it has the statistics."""

    number: int

    def ID(self) -> int:
        return self.number + 1

    def UUIDString(self) -> str:
        return str(uuid.UUID(int=self.number + 1))

    def name(self) -> str:
        return f"vm-{self.number:04d}"

    def XMLDesc(self) -> str:
        interfaces = "".join(
            f"<interface><mac address='52:54:00:{at:02x}:{self.number >> 8:02x}:"
            f"{self.number & 255:02x}'/><target dev='{_tap(self.number, at)}'/></interface>"
            for at in range(2)
        )
        size = "<vcpu>4</vcpu><memory>4194304</memory>"
        return f"<domain>{size}<devices>{interfaces}</devices></domain>"


def us_per_point() -> float:
    """CPU microseconds of a point, from statistics to what is on disk; median of ticks."""
    with tempfile.TemporaryDirectory(prefix="novacron-bench-") as folder:
        spool = Spool(Path(folder) / "bench.sqlite", Limits(), DeliveryCounts("bench"))
        figure = statistics.median(_ticks(spool))
        spool.close()
    return figure


def _ticks(spool: Spool) -> list[float]:
    """Of each but the first one, which makes what is kept for the others."""
    guests, encoder = Guests(None), Encoder("bench")
    domains = [Domain(number) for number in range(_GUESTS)]
    figures = []
    for tick in range(_TICKS):
        fast = [(domain, _fast(domain.number, tick)) for domain in domains]
        slow = [_slow(domain, tick) for domain in domains]
        before = time.process_time()
        readings = guests.read(fast, _HOST, time.time_ns())
        readings += [reading for reading in map(guests.answered, slow) if reading is not None]
        requests = encoder.encode(readings)
        spool.put(requests)
        points = sum(request.points for request in requests)
        figures.append((time.process_time() - before) / points * 1e6)
    return figures[1:]


def _fast(number: int, tick: int) -> dict[str, Any]:
    stats: dict[str, Any] = {"state.state": libvirt.VIR_DOMAIN_RUNNING, "state.reason": 1}
    stats["net.count"] = 2
    for at in range(2):
        stats[f"net.{at}.name"] = _tap(number, at)
        stats |= {f"net.{at}.{key}": _figure(tick) for key in _NET}
    return stats


def _slow(domain: Domain, tick: int) -> Answer:
    stats: dict[str, Any] = {"cpu.time": _figure(tick), "vcpu.current": 4, "vcpu.maximum": 4}
    for at in range(4):
        stats |= {f"vcpu.{at}.{key}": _figure(tick) for key in ("time", "wait", "delay")}
    stats |= {f"balloon.{key}": _figure(tick) for key in _BALLOON}
    stats["balloon.last-update"] = int(time.time())
    stats["block.count"] = 2
    for at, name in enumerate(("vda", "vdb")):
        stats[f"block.{at}.name"] = name
        for key in (*_DISK, "allocation", "capacity", "physical"):
            stats[f"block.{at}.{key}"] = _figure(tick)
    return Answer(domain.UUIDString(), domain.ID(), stats, {}, time.time_ns())


def _figure(tick: int) -> int:
    return random.randrange(10**9) + tick * 10**9


def _tap(number: int, at: int) -> str:
    return f"vnet{2 * number + at}"
