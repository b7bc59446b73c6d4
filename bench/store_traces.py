"""Traces of real machines: the last days of Bitbrains' GWA-T-12 Rnd, a file for each VM.

Values are as the traces tell them (cores, MHz, kB, kB/s, per cent), every five minutes or so, each
VM at its own times and with its own gaps. All times are moved by the same span, so that the last of
them lies just before `end`: a store refuses, or expires, what is years old. They are half a second
off whole ones then, so that no sample lies on the border of a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from novacron_store.telemetry.batch import Batch
from store_machines import GAUGE, Floats, Ints, Kind, Lines, arrivals, labels

DAYS = 3
_TOGETHER_MS = 6 * 3_600_000  # of a batch
_HALF_A_SECOND = 500
_IO, _NETWORK = "disk.io.direction", "network.io.direction"
_COLUMNS: dict[str, Kind] = {
    "cores": ("vm.cpu.count", "", "", GAUGE),
    "cpu_cap_mhz": ("vm.cpu.frequency.limit", "", "", GAUGE),
    "cpu_mhz": ("vm.cpu.frequency", "", "", GAUGE),
    "cpu_pct": ("vm.cpu.percent", "", "", GAUGE),
    "mem_cap_kb": ("vm.memory.limit", "", "", GAUGE),
    "mem_kb": ("vm.memory.usage", "", "", GAUGE),
    "disk_r_kbs": ("vm.disk.rate", _IO, "read", GAUGE),
    "disk_w_kbs": ("vm.disk.rate", _IO, "write", GAUGE),
    "net_rx_kbs": ("vm.network.rate", _NETWORK, "receive", GAUGE),
    "net_tx_kbs": ("vm.network.rate", _NETWORK, "transmit", GAUGE),
}


@dataclass(frozen=True)
class _Trace:
    vm: str
    times: Ints  # Unix milliseconds
    values: Floats  # of each time and column


@dataclass(frozen=True)
class Traces:
    """Of all VMs that have samples in the `DAYS` before `end` (Unix milliseconds, a whole hour)."""

    folder: Path
    end: int
    series = tuple(_COLUMNS.values())

    @property
    def start(self) -> int:
        return self.end - DAYS * 86_400_000

    @cached_property
    def machines(self) -> list[_Trace]:
        """
        Raises:
            SystemExit: the folder has no traces.
        """
        tables = {path.stem: pq.read_table(path) for path in sorted(self.folder.glob("*.parquet"))}
        if not tables:
            raise SystemExit(f"\n{self.folder}: there are no traces")
        newest = max(int(table["ts"].to_numpy().max()) for table in tables.values())
        moved = self.end - _HALF_A_SECOND - newest * 1000
        found = [_trace(vm, table, moved, self.start) for vm, table in tables.items()]
        return [trace for trace in found if len(trace.times)]

    @cached_property
    def tags(self) -> list[dict[str, str]]:
        return [_tags(trace) for trace in self.machines]

    @cached_property
    def ids(self) -> NDArray[np.uint64]:
        size = (len(self.machines), len(self.series))
        return np.random.default_rng(4).integers(1, 2**63, size, dtype=np.uint64)

    @property
    def samples(self) -> int:
        return sum(trace.values.size for trace in self.machines)

    def batches(self) -> Iterator[tuple[int, Batch]]:
        times = np.concatenate([trace.times for trace in self.machines])
        values = np.concatenate([trace.values for trace in self.machines])
        of = np.repeat(np.arange(len(self.machines)), [len(one.times) for one in self.machines])
        for first in range(self.start, self.end, _TOGETHER_MS):
            last = min(first + _TOGETHER_MS, self.end)
            told = (times >= first) & (times < last)
            yield last // 1000, Batch({"arrivals": arrivals(self, of[told], times[told],
                                                            values[told])})  # fmt: skip

    def lines(self) -> Iterator[Lines]:
        for trace, tags in zip(self.machines, self.tags, strict=True):
            times = trace.times.tolist()
            yield [
                {"metric": labels(of, tags), "values": trace.values[:, k].tolist(),
                 "timestamps": times}
                for k, of in enumerate(self.series)
            ]  # fmt: skip


def _trace(vm: str, table: pa.Table, moved: int, start: int) -> _Trace:
    times = table["ts"].to_numpy().astype(np.int64) * 1000 + moved
    kept = times >= start
    columns = [_decimal(table[name].to_numpy()[kept]) for name in _COLUMNS]
    return _Trace(vm, times[kept], np.stack(columns, axis=1))


def _decimal(values: NDArray[np.generic]) -> Floats:
    """The four digits that the trace has, and not the nearest number of 32 bits."""
    return np.char.mod("%.4g", values.astype(np.float64)).astype(np.float64)


def _tags(trace: _Trace) -> dict[str, str]:
    """What is known of a VM: its size, when it was told last."""
    told = dict(zip(_COLUMNS, trace.values[-1].tolist(), strict=True))
    return {
        "host.id": trace.vm,
        "host.cores": f"{told['cores']:.0f}",
        "host.memory": f"{told['mem_cap_kb'] / 2**20:.0f}",
    }
