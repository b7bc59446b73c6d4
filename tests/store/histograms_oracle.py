"""Histograms as senders make them, and their quantiles worked out slowly, one window at a time."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import xxhash

from novacron_store.telemetry.batch import SCHEMAS, Batch
from store.batches import at


@dataclass(frozen=True)
class Told:
    """A sample: all that was measured since `since`, for a cumulative histogram. `bounds` of one
    that has them, else `scale` and `zero`."""

    time: float
    since: float
    values: Sequence[float]
    bounds: tuple[float, ...] = ()
    scale: int = 0
    zero: float = 0.0
    ended: bool = False  # says no more than that the series ends


@dataclass(frozen=True)
class Histogram:
    """One series."""

    metric: str
    entity: str
    told: Sequence[Told]
    delta: bool = False
    exponential: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def series(self) -> int:
        identity = (self.metric, self.entity, self.exponential, sorted(self.attributes.items()))
        return xxhash.xxh64_intdigest(repr(identity).encode())

    @property
    def kind(self) -> str:
        return "exponential_histogram" if self.exponential else "histogram"

    def of(self, told: Sequence[Told]) -> Histogram:
        return Histogram(
            self.metric, self.entity, told, self.delta, self.exponential, self.attributes
        )

    def steps(self) -> list[tuple[Told, Sequence[float]]]:
        """Each sample and what was measured for it: of the first of a series that had begun long
        before that is not known."""
        found: list[tuple[Told, Sequence[float]]] = []
        before: Told | None = None
        told = (one for one in self.told if not one.ended)
        for one in sorted(told, key=lambda one: one.time):
            if self.delta or (before is not None and before.since != one.since):
                found.append((one, one.values))
            elif before is not None:
                found.append((one, one.values[len(before.values) :]))
            elif one.since > 0:
                found.append((one, one.values))
            before = one
        return found


def batch(series: Sequence[Histogram]) -> Batch:
    described = [_described(one) for one in series]
    samples = {
        name: [_sample(one, told) for one in series for told in one.told if one.kind == kind]
        for name, kind in (("histograms", "histogram"),
                           ("exponential_histograms", "exponential_histogram"))
    }  # fmt: skip
    tables = {
        **{name: _table(name, rows) for name, rows in samples.items() if rows},
        "series": _table("series", described),
        "metrics": _table("metrics", described),
    }
    return Batch(tables)


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    schema = SCHEMAS[name]
    plain = {
        f.name: f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in schema
    }
    columns = {c: pa.array([row[c] for row in rows], kind) for c, kind in plain.items()}
    return pa.table(columns).cast(schema)


def _described(one: Histogram) -> dict[str, Any]:
    return {
        "metric": one.metric, "entity": one.entity, "series": one.series, "kind": one.kind,
        "temporality": "delta" if one.delta else "cumulative", "monotonic": False, "unit": "s",
        "attributes": list(one.attributes.items()), "attribute_types": [], "scope": "",
        "first_seen": at(0), "seen": at(0), "description": "",
    }  # fmt: skip


def _sample(one: Histogram, told: Told) -> dict[str, Any]:
    found = {
        "metric": one.metric, "entity": one.entity, "series": one.series, "ts": at(told.time),
        "start_ts": at(told.since), "count": len(told.values), "sum": None, "min": None,
        "max": None, "no_value": told.ended,
    }  # fmt: skip
    if not one.exponential:
        buckets = [0] * (len(told.bounds) + 1)
        for value in told.values:
            buckets[bisect_left(told.bounds, value)] += 1
        return found | {"bounds": told.bounds, "buckets": buckets}
    found |= {"scale": told.scale, "zero_threshold": told.zero}
    found["zero_count"] = sum(abs(value) <= told.zero for value in told.values)
    for name, sign in (("positive", 1), ("negative", -1)):
        counts = Counter(index(abs(v), told.scale) for v in told.values if v * sign > told.zero)
        first, last = min(counts, default=0), max(counts, default=-1)
        found[f"{name}_offset"] = first
        found[f"{name}_buckets"] = [counts[n] for n in range(first, last + 1)]
    return found


def index(value: float, scale: int) -> int:
    """Of the bucket of a value above zero."""
    return math.ceil(math.log2(value) * 2.0**scale) - 1


def explicit(steps: Sequence[tuple[Told, Sequence[float]]], share: float) -> float | None:
    """Of what was measured in these steps, as Prometheus does it."""
    some = [(told, values) for told, values in steps if values and told.bounds]
    if not some:
        return None
    bounds = sorted(set.intersection(*(set(told.bounds) for told, _ in some)))
    if not bounds:
        return None
    measured = [value for _, values in some for value in values]
    below = [sum(value <= bound for value in measured) for bound in bounds]
    rank = share * len(measured)
    for n, bound in enumerate(bounds):
        count = below[n] - (below[n - 1] if n else 0)
        if below[n] >= rank and count:
            low = bounds[n - 1] if n else min(0.0, bound)
            return low + (bound - low) * (rank - below[n] + count) / count
    return bounds[-1]


def exponential(steps: Sequence[tuple[Told, Sequence[float]]], share: float) -> float | None:
    """The same, of buckets of the smallest scale and the widest zero."""
    some = [(told, values) for told, values in steps if values]
    if not some:
        return None
    scale, zero = min(t.scale for t, _ in some), max(t.zero for t, _ in some)
    if zero:
        zero = 2 ** ((index(zero, scale) + 1) / 2**scale)
    measured = sorted(value for _, values in some for value in values)
    inside = [value for value in measured if abs(value) <= zero]
    rank, below = share * len(measured), 0
    buckets = Counter(_bucket(value, scale, zero) for value in measured)
    for (sign, n), count in sorted(buckets.items(), key=lambda b: (b[0][0], b[0][0] * b[0][1])):
        part = (rank - below) / count
        if below + count >= rank:
            if sign == 0:
                low = 0.0 if measured[0] >= -zero and len(inside) < len(measured) else -zero
                high = 0.0 if measured[-1] <= zero and measured[0] < -zero else zero
                return low + (high - low) * part
            return float(sign * 2.0 ** ((n + (part if sign > 0 else 1 - part)) / 2**scale))
        below += count
    raise AssertionError("the last bucket holds the last value")


def _bucket(value: float, scale: int, zero: float) -> tuple[int, int]:
    if abs(value) <= zero:
        return 0, 0
    return (1 if value > 0 else -1), index(abs(value), scale)
