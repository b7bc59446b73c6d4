"""A write-ahead log as tests use it: little and young is written at once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from novacron_collector.wal.ledger import Ledger
from novacron_collector.wal.log import Log, LogLimits
from novacron_collector.wal.poison import Poison

MIB = 2**20


@dataclass(frozen=True)
class Wal:
    log: Log
    ledger: Ledger
    poison: Poison


def limits(size: float = 64 * MIB, weight: int = 100_000, age: float = 0.05) -> LogLimits:
    return LogLimits(size=size, keep_free=0, weight=weight, age=age)


def opened(folder: Path, allowed: LogLimits | None = None) -> Wal:
    log = Log(folder / "wal", allowed or limits())
    ledger = Ledger(folder / "wal" / "ledger", 3600, 100_000, time.time())
    return Wal(log, ledger, Poison(folder / "wal" / "dead-letters", MIB))
