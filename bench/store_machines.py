"""Machines whose samples are in both stores: how each of the two knows their series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from novacron_store.telemetry.batch import ARRIVALS, SCHEMAS, Batch

GAUGE, COUNTER = False, True
Kind = tuple[str, str, str, bool]  # metric, its attribute, the attribute's value, is it a counter
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Lines = list[dict[str, Any]]  # of the peer's JSON import


class Described(Protocol):
    """Who they are."""

    @property
    def series(self) -> Sequence[Kind]:
        """Of each machine."""

    @property
    def tags(self) -> Sequence[Mapping[str, str]]:
        """What each machine's resource says; `host.id` comes first."""

    @property
    def ids(self) -> NDArray[np.uint64]:
        """Of each machine's series."""

    @property
    def start(self) -> int:
        """Unix milliseconds; no sample is older, and counters count from there."""


class Machines(Described, Protocol):
    """And what they tell."""

    @property
    def end(self) -> int:
        """Unix milliseconds; every sample is older."""

    @property
    def samples(self) -> int: ...

    def batches(self) -> Iterator[tuple[int, Batch]]:
        """What is written together, each with the time (Unix seconds) at which it is complete."""

    def lines(self) -> Iterator[Lines]:
        """The same samples, in requests to the peer."""


def describe(machines: Described) -> Batch:
    seen = datetime.fromtimestamp(machines.start / 1000, UTC)
    entities = [
        {"entity": tags["host.id"], "entity_type": "host", "resource": list(tags.items()),
         "resource_types": [], "seen": seen}
        for tags in machines.tags
    ]  # fmt: skip
    series = [
        _series(tags["host.id"], int(machines.ids[n, k]), of, seen)
        for n, tags in enumerate(machines.tags)
        for k, of in enumerate(machines.series)
    ]
    metrics = {name: _metric(name, counter, seen) for name, _, _, counter in machines.series}
    rows = {"entities": entities, "series": series, "metrics": list(metrics.values())}
    return Batch({name: pa.Table.from_pylist(of, schema=SCHEMAS[name])
                  for name, of in rows.items()})  # fmt: skip


def arrivals(machines: Described, of: Ints, times: Ints, values: Floats) -> pa.Table:
    """Rows, each of the machine number `of`, with a value of each of its series."""
    rows, width = values.shape
    names = sorted({name for name, *_ in machines.series})
    of_series = np.array([names.index(name) for name, *_ in machines.series], np.int32)
    hosts = [tags["host.id"] for tags in machines.tags]
    ts = pa.timestamp("ms", "UTC")
    lists = [
        pa.DictionaryArray.from_arrays(np.tile(of_series, rows), names),
        pa.array(machines.ids[of].ravel()),
        pa.array(np.full(rows * width, machines.start)).cast(ts),
        pa.array(values.ravel()),
    ]
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
    return pa.table(
        [
            pa.DictionaryArray.from_arrays(of.astype(np.int32), hosts),
            pa.array(times).cast(ts),
            *(pa.ListArray.from_arrays(offsets, one) for one in lists),
        ],
        schema=ARRIVALS,
    )


def labels(of: Kind, tags: Mapping[str, str]) -> dict[str, str]:
    """A series as Prometheus names it."""
    metric, key, value, _ = of
    named = {**({key: value} if key else {}), **tags}
    return {
        "__name__": metric.replace(".", "_"),
        **{name.replace(".", "_"): text for name, text in named.items()},
    }


def _series(entity: str, number: int, of: Kind, seen: datetime) -> dict[str, object]:
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
