"""A synthetic fleet: VMs with 25 series each, as the agent names them, written as batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_contract.metrics import BY_NAME, Kind
from novacron_store.telemetry.batch import SCHEMAS, Batch

_DISK = {"system.device": "vda"}
_NIC = {"network.interface.mac": "52:54:00:00:00:01"}


Row = dict[str, object]
Series = tuple[str, dict[str, str]]  # metric and attributes


def _both(metric: str, fixed: dict[str, str], key: str, labels: tuple[str, str]) -> list[Series]:
    return [(metric, {**fixed, key: label}) for label in labels]


_READ_WRITE, _IN_OUT = ("read", "write"), ("receive", "transmit")
SERIES: list[Series] = [
    ("vm.state", {"vm.state": "running"}),
    ("vm.cpu.count", {}),
    ("vm.cpu.time", {}),
    ("vm.cpu.utilization", {}),
    ("vm.memory.limit", {}),
    ("vm.memory.usage", {}),
    *_both("vm.disk.io", _DISK, "disk.io.direction", _READ_WRITE),
    *_both("vm.disk.operations", _DISK, "disk.io.direction", _READ_WRITE),
    *_both("vm.disk.operation_time", _DISK, "disk.io.direction", _READ_WRITE),
    ("vm.disk.limit", _DISK),
    ("vm.disk.usage", _DISK),
    *_both("vm.network.io", _NIC, "network.io.direction", _IN_OUT),
    *_both("vm.network.packet.count", _NIC, "network.io.direction", _IN_OUT),
    *_both("vm.network.errors", _NIC, "network.io.direction", _IN_OUT),
    *_both("vm.network.packet.dropped", _NIC, "network.io.direction", _IN_OUT),
    ("libvirt.vcpu.time", {"cpu.logical_number": "0"}),
    ("libvirt.memory.rss", {}),
    ("libvirt.memory.balloon", {}),
]


@dataclass(frozen=True)
class Fleet:
    """`vms` machines sampled every `step` seconds, each a millisecond after the one before."""

    vms: int
    step: int = 15
    seed: int = 1

    def describe(self, seen: datetime) -> Batch:
        """What is written once: entities, series, metrics."""
        names = [f"vm-{n:05d}" for n in range(self.vms)]
        entities = [
            {
                "entity": name,
                "entity_type": "vm",
                "resource": [("vm.id", name), ("vm.name", f"web-{name[3:]}")],
                "resource_types": [],
                "seen": seen,
            }
            for name in names
        ]
        series = [
            _series(name, n * len(SERIES) + k, *SERIES[k], seen)
            for n, name in enumerate(names)
            for k in range(len(SERIES))
        ]
        metrics = [_metric(metric, seen) for metric in sorted({metric for metric, _ in SERIES})]
        tables = {"entities": entities, "series": series, "metrics": metrics}
        return Batch({name: _table(name, rows) for name, rows in tables.items()})

    def batches(self, start: int, sizes: Sequence[int]) -> Iterator[Batch]:
        """Samples from `start` (Unix seconds) on, one batch of so many scrapes for each size."""
        random = np.random.default_rng(self.seed)
        level = random.uniform(0.05, 0.9, self.vms)
        counters = random.integers(0, 10**9, (self.vms, len(SERIES))).astype(np.float64)
        for count in sizes:
            values = np.empty((count, self.vms, len(SERIES)))
            for i in range(count):
                level = np.clip(level + random.normal(0, 0.02, self.vms), 0.01, 0.99)
                counters += np.rint(level[:, None] * random.integers(0, 4000, counters.shape))
                values[i] = self._scrape(level, counters)
            times = (start + np.arange(count) * self.step) * 1000
            start += count * self.step
            yield Batch({"samples": self._samples(times, values)})

    def _scrape(
        self, level: NDArray[np.float64], counters: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        gauges = {
            "vm.state": np.ones(self.vms),
            "vm.cpu.count": np.full(self.vms, 4.0),
            "vm.cpu.utilization": np.round(level, 4),
            "vm.memory.limit": np.full(self.vms, 8.0 * 2**30),
            "vm.memory.usage": np.rint(level * 2**21) * 4096,
            "vm.disk.limit": np.full(self.vms, 40.0 * 2**30),
            "vm.disk.usage": np.full(self.vms, 10.0 * 2**30),
            "libvirt.memory.rss": np.rint(level * 2**20) * 4096,
            "libvirt.memory.balloon": np.full(self.vms, 8.0 * 2**30),
        }
        columns = [gauges.get(name, counters[:, k]) for k, (name, _) in enumerate(SERIES)]
        return np.stack(columns, axis=1)

    def _samples(self, times: NDArray[np.int64], values: NDArray[np.float64]) -> pa.Table:
        ticks, width = len(times), len(SERIES)
        names = sorted({metric for metric, _ in SERIES})
        metric = np.array([names.index(name) for name, _ in SERIES], np.int32)
        vm = np.repeat(np.arange(self.vms, dtype=np.int32), width)
        ts = np.repeat(times[:, None] + np.arange(self.vms)[None, :], width, axis=1).ravel()
        columns = [
            pa.DictionaryArray.from_arrays(np.tile(metric, ticks * self.vms), names),
            pa.DictionaryArray.from_arrays(
                np.tile(vm, ticks), [f"vm-{n:05d}" for n in range(self.vms)]
            ),
            _hashes(np.tile(np.arange(self.vms * width, dtype=np.uint64), ticks)),
            pa.array(ts, pa.timestamp("ms", "UTC")),
            pa.array(np.zeros(len(ts), np.int64), pa.timestamp("ms", "UTC")),
            values.ravel(),
        ]
        return pa.table(columns, names=SCHEMAS["samples"].names)


def _hashes(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread small numbers over 64 bits, as hashes of real series are."""
    return numbers * np.uint64(0x9E3779B97F4A7C15)


def _series(entity: str, number: int, metric: str, labels: dict[str, str], seen: datetime) -> Row:
    known = BY_NAME[metric]
    return {
        "metric": metric,
        "entity": entity,
        "series": int(_hashes(np.array([number], np.uint64))[0]),
        **_shape(known.kind),
        "unit": known.unit,
        "attributes": list(labels.items()),
        "attribute_types": [],
        "scope": "bench",
        "first_seen": seen,
    }


def _metric(metric: str, seen: datetime) -> Row:
    known = BY_NAME[metric]
    text = {"unit": known.unit, "description": known.description}
    return {"metric": metric, **_shape(known.kind), **text, "seen": seen}


def _shape(kind: Kind) -> Row:
    if kind is Kind.GAUGE:
        return {"kind": "gauge", "temporality": "unspecified", "monotonic": False}
    return {"kind": "sum", "temporality": "cumulative", "monotonic": kind is Kind.COUNTER}


def _table(name: str, rows: list[Row]) -> pa.Table:
    schema = SCHEMAS[name]
    columns = [pa.array([row[f.name] for row in rows], _plain(f.type)) for f in schema]
    return pa.table(columns, names=schema.names).cast(schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
