"""Samples as a fleet's hosts send them: 25 series each, every 15 seconds, for six hours and 40
minutes of the next one.

Gauges are walks with spikes, rounded as agents round; counters are integers with idle times, and
some restart; times have a phase for each machine and a jitter of some milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_store.telemetry.batch import Batch
from store_machines import COUNTER, GAUGE, Floats, Ints, Kind, Lines, arrivals, labels

STEP_MS = 15_000
TICKS = 1440  # those of whole hours
OPEN_TICKS = 160  # those of the hour after them
_EVERY_TICK = TICKS + OPEN_TICKS
_IMPORT = 40  # ticks of a request to the peer

SERIES: list[Kind] = [
    *(("system.cpu.utilization", "cpu.mode", mode, GAUGE) for mode in
      ("user", "system", "iowait", "steal", "idle")),
    *(("system.memory.usage", "system.memory.state", state, GAUGE) for state in
      ("used", "free", "cached", "buffers")),
    *(("system.disk.io", "disk.io.direction", way, COUNTER) for way in ("read", "write")),
    *(("system.disk.operations", "disk.io.direction", way, COUNTER) for way in ("read", "write")),
    *((f"system.network.{what}", "network.io.direction", way, COUNTER)
      for what in ("io", "packet.count", "errors") for way in ("receive", "transmit")),
    *(("system.filesystem.usage", "system.filesystem.state", state, GAUGE) for state in
      ("used", "free")),
    *((f"system.cpu.load_average.{minutes}m", "", "", GAUGE) for minutes in (1, 5, 15)),
    ("system.uptime", "", "", COUNTER),
]  # fmt: skip
_REGIONS = ("fr-par", "de-fra", "us-east", "us-west", "ap-sg")


@dataclass(frozen=True)
class StoreFleet:
    """`machines` hosts from `start` (Unix milliseconds) on, and everything they tell."""

    machines: int
    start: int
    series = SERIES

    @cached_property
    def tags(self) -> list[dict[str, str]]:
        random = np.random.default_rng(7)
        return [_tags(n, random) for n in range(self.machines)]

    @cached_property
    def ids(self) -> NDArray[np.uint64]:
        size = (self.machines, len(SERIES))
        return np.random.default_rng(3).integers(1, 2**63, size, dtype=np.uint64)

    @cached_property
    def times(self) -> Ints:
        """Of each tick and machine, in Unix milliseconds."""
        random = np.random.default_rng(2)
        ticks = self.start + np.arange(_EVERY_TICK)[:, None] * STEP_MS
        jitter = np.rint(random.normal(0, 4, (_EVERY_TICK, self.machines))).astype(np.int64)
        found: Ints = ticks + random.integers(100, STEP_MS - 100, self.machines)[None, :] + jitter
        # None on the border of a window, which is in the one before it there, in the one after here
        found += found % 1000 == 0
        return found

    @cached_property
    def values(self) -> Floats:
        """Of each tick, machine and series."""
        return _values(np.random.default_rng(1), self.machines)

    def arrivals(self, first: int, last: int) -> pa.Table:
        """What is written of the ticks `first` to `last` - 1."""
        machine = np.tile(np.arange(self.machines), last - first)
        values = self.values[first:last].reshape(-1, len(SERIES))
        return arrivals(self, machine, self.times[first:last].ravel(), values)


@dataclass(frozen=True)
class Span:
    """The ticks `first` to `last` - 1 of a fleet, `together` of them in a batch."""

    fleet: StoreFleet
    first: int
    last: int
    together: int
    series = SERIES

    @property
    def tags(self) -> list[dict[str, str]]:
        return self.fleet.tags

    @property
    def ids(self) -> NDArray[np.uint64]:
        return self.fleet.ids

    @property
    def start(self) -> int:
        return self.fleet.start + self.first * STEP_MS

    @property
    def end(self) -> int:
        return self.fleet.start + self.last * STEP_MS

    @property
    def samples(self) -> int:
        return (self.last - self.first) * self.fleet.machines * len(SERIES)

    def batches(self) -> Iterator[tuple[int, Batch]]:
        for first in range(self.first, self.last, self.together):
            last = min(first + self.together, self.last)
            end = self.fleet.start + last * STEP_MS
            yield end // 1000, Batch({"arrivals": self.fleet.arrivals(first, last)})

    def lines(self) -> Iterator[Lines]:
        for first in range(self.first, self.last, _IMPORT):
            ticks = slice(first, min(first + _IMPORT, self.last))
            yield [
                {
                    "metric": labels(of, tags),
                    "values": self.fleet.values[ticks, n, k].tolist(),
                    "timestamps": self.fleet.times[ticks, n].tolist(),
                }
                for n, tags in enumerate(self.tags)
                for k, of in enumerate(SERIES)
            ]


def _tags(number: int, random: np.random.Generator) -> dict[str, str]:
    region = _REGIONS[number % 5]
    return {
        "host.id": f"i-{number * 2654435761 % 2**32:08x}{number:06x}",
        "host.name": f"vm-{number:05d}.{region}.example",
        "cloud.region": region,
        "cloud.availability_zone": f"{region}-{'abc'[random.integers(3)]}",
        "deployment.environment": ("prod", "prod", "prod", "stage", "dev")[random.integers(5)],
        "team": f"team-{random.integers(20):02d}",
        "service": f"svc-{random.integers(50):02d}",
        "host.type": f"m{random.integers(4) + 1}.{('large', 'xlarge')[random.integers(2)]}",
        "os.type": "linux",
    }


def _values(random: np.random.Generator, machines: int) -> Floats:
    size = (_EVERY_TICK, machines)
    busy = _busy(random, size)
    memory = random.choice([2, 4, 8, 16, 32], machines) * 2.0**30
    columns = [*_cpu(random, size, busy), *_memory(random, size, memory)]
    columns += _counters(random, size, busy)
    used = np.rint(memory / 4096 * 3) * 4096
    used = (
        used
        + np.cumsum(np.rint((random.random(size) < 0.4) * random.normal(10, 40, size)), 0) * 4096
    )
    columns += [used, memory * 8 - used]
    columns += [_smoothed(busy / 25, weight) for weight in (4, 20, 60)]
    columns.append(random.integers(1000, 10**7, machines) + np.arange(_EVERY_TICK)[:, None] * 15.0)
    values = np.stack(columns, axis=2)
    for machine in random.choice(machines, max(1, machines // 50), replace=False):
        at = random.integers(TICKS // 10, TICKS * 9 // 10)  # it is booted again
        for k, (*_, counter) in enumerate(SERIES):
            if counter:
                values[at:, machine, k] -= values[at - 1, machine, k]
    return values


def _busy(random: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Percent of a machine's CPUs."""
    walk, level = np.zeros(size), np.zeros(size[1])
    for tick in range(size[0]):
        level = 0.95 * level + random.normal(0, 1, size[1])
        walk[tick] = level
    ticks = np.arange(size[0])[:, None]
    daily = 1 + 0.4 * np.sin(2 * np.pi * (ticks / 5760 + random.random(size[1])[None, :]))
    spikes = (random.random(size) < 0.004) * random.uniform(20, 60, size)
    busy: Floats = np.clip(random.gamma(2, 12, size[1]) * daily + walk * 2 + spikes, 0.3, 99.5)
    return busy


def _cpu(random: np.random.Generator, size: tuple[int, int], busy: Floats) -> list[Floats]:
    """Shares in whole ticks of 100 Hz over 15 seconds."""
    wait = np.where(random.random(size) < 0.6, 0, random.gamma(1, 0.3, size))
    steal = np.where(random.random(size) < 0.9, 0, random.gamma(1, 0.2, size))
    shares = [np.round(np.rint(x * 15) / 1500, 4) for x in (busy * 0.7, busy * 0.25, wait, steal)]
    return [*shares, np.round(np.clip(1 - sum(shares), 0, 1), 4)]


def _memory(random: np.random.Generator, size: tuple[int, int], total: Floats) -> list[Floats]:
    drift = np.cumsum(random.normal(0, 1, size) * (random.random(size) < 0.7), 0)
    used = np.rint((0.4 + 0.3 * random.random(size[1])) * total / 4096 + drift * 200) * 4096
    growing = np.cumsum((random.random(size) < 0.3) * random.integers(0, 64, size), 0)
    cached = np.rint(0.2 * total / 4096 + growing) * 4096
    slowly = np.cumsum((random.random(size) < 0.1) * random.integers(0, 8, size), 0)
    buffers = np.rint(0.01 * total / 4096 + slowly) * 4096
    free = np.maximum(total - used - cached - buffers, 4096 * 1000)
    return [used, free, cached, buffers]


def _counters(random: np.random.Generator, size: tuple[int, int], busy: Floats) -> list[Floats]:
    reads = np.rint(random.gamma(0.3, 60, size) * (random.random(size) < 0.5))
    writes = np.rint(random.gamma(1.2, 40, size) * busy / 25)
    received = np.rint(random.gamma(2, 150, size) * busy / 10)
    sent = np.rint(received * random.uniform(0.7, 1.1, size))
    steps = [
        *(n * 4096 * random.integers(1, 8, size) for n in (reads, writes)), reads, writes,
        *(n * random.integers(80, 900, size) for n in (received, sent)), received, sent,
        random.random(size) < 0.001, random.random(size) < 0.0005,
    ]  # fmt: skip
    begin = random.integers(0, 10**9, (len(steps), size[1]))
    return [np.cumsum(step, 0) + begin[k] for k, step in enumerate(steps)]


def _smoothed(load: Floats, weight: int) -> Floats:
    line, now = np.empty_like(load), load[0].copy()
    for tick in range(len(load)):
        now = now + (load[tick] - now) / weight
        line[tick] = now
    return np.round(line, 2)
