"""Decoders with faults, which a fuzzer that is worth something finds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fuzz.otlp import TARGET
from fuzz.target import Decode, Target
from novacron_collector.otlp.decoded import Decoded
from novacron_store.telemetry.batch import Batch


def _with(fault: Callable[[Decoded], Decoded]) -> Target:
    """One body in about fifty brings it on."""

    def start() -> Decode:
        sound = TARGET.start()

        def decode(bodies: Sequence[bytes], now_s: float) -> Decoded:
            decoded = sound(bodies, now_s)
            return fault(decoded) if any(len(body) % 50 == 7 for body in bodies) else decoded

        return decode

    return replace(TARGET, start=start)


def _raise(_decoded: Decoded) -> Decoded:
    raise ZeroDivisionError("by zero")


def _die(_decoded: Decoded) -> Decoded:
    os.abort()


def _hang(_decoded: Decoded) -> Decoded:
    while True:
        time.sleep(1)


def _lose_a_row(decoded: Decoded) -> Decoded:
    tables = dict(decoded.batch.tables)
    name = "arrivals" if "arrivals" in tables else "samples"
    return replace(decoded, batch=Batch({**tables, name: tables[name].slice(1)}))


RAISES, DIES, HANGS, LOSES = (_with(fault) for fault in (_raise, _die, _hang, _lose_a_row))
