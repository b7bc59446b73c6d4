"""Samples as a fleet's hosts send them: 25 series each, every 15 seconds, for six hours.

Gauges are walks with spikes, rounded as agents round; counters are integers with idle times, and
some restart; times have a phase for each machine and a jitter of some milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_store.telemetry.batch import ARRIVALS, SCHEMAS, Batch

STEP_MS = 15_000
TICKS = 1440
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GAUGE, COUNTER = False, True
# metric, its attribute, the attribute's value, whether it is a counter
SERIES: list[tuple[str, str, str, bool]] = [
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
    """`machines` hosts from `start` (Unix milliseconds) on."""

    machines: int
    start: int

    @property
    def end(self) -> int:
        return self.start + TICKS * STEP_MS

    @property
    def samples(self) -> int:
        return self.machines * TICKS * len(SERIES)

    @cached_property
    def tags(self) -> list[dict[str, str]]:
        """What each machine's resource says; `host.id` comes first."""
        random = np.random.default_rng(7)
        return [_tags(n, random) for n in range(self.machines)]

    @cached_property
    def ids(self) -> NDArray[np.uint64]:
        """Of each machine's series."""
        size = (self.machines, len(SERIES))
        return np.random.default_rng(3).integers(1, 2**63, size, dtype=np.uint64)

    @cached_property
    def times(self) -> Ints:
        """Of each tick and machine, in Unix milliseconds."""
        random = np.random.default_rng(2)
        ticks = self.start + np.arange(TICKS)[:, None] * STEP_MS
        jitter = np.rint(random.normal(0, 4, (TICKS, self.machines))).astype(np.int64)
        return ticks + random.integers(100, STEP_MS - 100, self.machines)[None, :] + jitter

    @cached_property
    def values(self) -> Floats:
        """Of each tick, machine and series."""
        return _values(np.random.default_rng(1), self.machines)

    def describe(self) -> Batch:
        seen = datetime.fromtimestamp(self.start / 1000, UTC)
        entities = [
            {"entity": tags["host.id"], "entity_type": "host", "resource": list(tags.items()),
             "resource_types": [], "seen": seen}
            for tags in self.tags
        ]  # fmt: skip
        series = [
            _series(tags["host.id"], int(self.ids[n, k]), SERIES[k], seen)
            for n, tags in enumerate(self.tags)
            for k in range(len(SERIES))
        ]
        metrics = {name: _metric(name, counter, seen) for name, _, _, counter in SERIES}
        rows = {"entities": entities, "series": series, "metrics": list(metrics.values())}
        return Batch({name: pa.Table.from_pylist(of, schema=SCHEMAS[name])
                      for name, of in rows.items()})  # fmt: skip

    def batches(self, ticks: int) -> Iterator[tuple[int, Batch]]:
        """Batches of so many ticks, each with the time (Unix seconds) at which it is complete."""
        for first in range(0, TICKS, ticks):
            end = self.start + (first + ticks) * STEP_MS
            yield end // 1000, Batch({"arrivals": self._arrivals(first, first + ticks)})

    def _arrivals(self, first: int, last: int) -> pa.Table:
        rows, width = (last - first) * self.machines, len(SERIES)
        names = sorted({name for name, *_ in SERIES})
        of_series = np.array([names.index(name) for name, *_ in SERIES], np.int32)
        machine = np.tile(np.arange(self.machines, dtype=np.int32), last - first)
        hosts = [tags["host.id"] for tags in self.tags]
        ts = pa.timestamp("ms", "UTC")
        lists = [
            pa.DictionaryArray.from_arrays(np.tile(of_series, rows), names),
            pa.array(np.tile(self.ids, (last - first, 1)).ravel()),
            pa.array(np.full(rows * width, self.start)).cast(ts),
            pa.array(self.values[first:last].ravel()),
        ]
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
        return pa.table(
            [
                pa.DictionaryArray.from_arrays(machine, hosts),
                pa.array(self.times[first:last].ravel()).cast(ts),
                *(pa.ListArray.from_arrays(offsets, of) for of in lists),
            ],
            schema=ARRIVALS,
        )


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


def _series(
    entity: str, number: int, of: tuple[str, str, str, bool], seen: datetime
) -> dict[str, object]:
    name, key, label, counter = of
    return {
        "metric": name, "entity": entity, "series": number, "unit": "1",
        "kind": "sum" if counter else "gauge", "monotonic": counter,
        "temporality": "cumulative" if counter else "unspecified",
        "attributes": [(key, label)] if key else [], "attribute_types": [], "scope": "",
        "first_seen": seen,
    }  # fmt: skip


def _metric(name: str, counter: bool, seen: datetime) -> dict[str, object]:
    return {
        "metric": name, "kind": "sum" if counter else "gauge", "monotonic": counter,
        "temporality": "cumulative" if counter else "unspecified", "unit": "1",
        "description": "", "seen": seen,
    }  # fmt: skip


def _values(random: np.random.Generator, machines: int) -> Floats:
    size = (TICKS, machines)
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
    columns.append(random.integers(1000, 10**7, machines) + np.arange(TICKS)[:, None] * 15.0)
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
