"""Lines of one machine at full resolution, worked out here from its samples: a third of the CPU
that SQL takes for it, because ClickHouse plans long statements longer than it runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from novacron_store.telemetry.builder.grid import Slots
from novacron_store.telemetry.builder.held_hours import HeldHours
from novacron_store.telemetry.builder.index import MetricSeries
from novacron_store.telemetry.builder.unpack import unpack
from novacron_store.telemetry.builder.unpacked import FEW_BYTES, Unpacked, bounded, since_before
from novacron_store.telemetry.builder.wanted import Wanted
from novacron_store.telemetry.queries.buckets import LOOK_BACK_S, Grid
from novacron_store.telemetry.samples import Borders

Floats = NDArray[np.float64]
Line = tuple[Mapping[str, str], list[int], list[float]]  # attributes, Unix milliseconds, values
# What a point says of its bucket: values, and the places where buckets begin, to a value for each.
OfBucket = Callable[[Floats, NDArray[np.intp]], Floats]


def chosen_series(
    series: MetricSeries, entity: str, filters: Mapping[str, str]
) -> NDArray[np.intp]:
    """Those of the entity with these attributes; one that is not there is like an empty one."""
    of_entity = np.array([name == entity for name in series.entities], bool)
    (rows,) = np.nonzero(of_entity[series.entity_of])
    kinds, kind_of = np.unique(series.attributes_of[rows], return_inverse=True)
    fits = [
        all(attributes.get(name, "") == value for name, value in filters.items())
        for attributes in map(dict, series.attributes.take(pa.array(kinds)).to_pylist())
    ]
    return np.asarray(rows[np.array(fits, bool)[kind_of]])


def lines(
    client: Client,
    series: MetricSeries,
    chosen: NDArray[np.intp],
    where: Grid,
    borders: Borders,
    of_bucket: OfBucket,
    held: HeldHours | None = None,
) -> list[Line]:
    """A line for each chosen series that has samples: at the last sample of each bucket what
    `of_bucket` says of it, and of a counter its rate by second instead.

    Raises:
        TooLarge: more samples than fit into FEW_BYTES.
    """
    if not len(chosen):
        return []
    (info,) = series.metrics
    start = (where.start - LOOK_BACK_S) * 1000  # a counter's first step is from the sample before
    slots = Slots(start, where.end * 1000 - start, 1, 1, 1)
    delta = info.temporality == "delta"
    wanted = Wanted((info.metric,), series, chosen, len(chosen), np.arange(len(chosen)), slots, (),
                    delta)  # fmt: skip
    told = unpack(
        bounded(lambda sql, asked: client.query_arrow(sql, parameters=asked), FEW_BYTES),
        wanted,
        borders,
        held,
    )
    steps = _steps(told, delta) if info.is_counter else None
    inside = told.times >= where.start * 1000
    if steps is not None:
        inside &= steps.passed > 0
    if not inside.any():
        return []
    points = _Points(told.some(inside), where)
    if steps is None:
        values = of_bucket(points.told.values, points.begins)
    else:
        grown, passed = steps.grown[inside], steps.passed[inside]
        values = points.added(grown) / points.added(passed)
    return _by_series(points, values, series, chosen)


@dataclass(frozen=True, slots=True)
class _Steps:
    """To each sample from the one before of its series; none (0 s) to the first."""

    grown: Floats
    passed: Floats  # seconds


def _steps(told: Unpacked, delta: bool) -> _Steps:
    first = np.diff(told.series, prepend=-1) != 0
    passed = np.where(first, 0.0, np.diff(told.times, prepend=0) / 1000)
    if delta:
        return _Steps(told.values, passed)
    return _Steps(since_before(told.values), passed)


class _Points:
    """Samples by series and bucket."""

    def __init__(self, told: Unpacked, where: Grid) -> None:
        slot = (told.times // 1000 - where.start) // where.step
        key = told.series * where.slots + slot
        self.told = told
        (self.begins,) = np.nonzero(np.diff(key, prepend=-1))

    def added(self, values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values, self.begins))

    @property
    def ends(self) -> NDArray[np.intp]:
        """The last sample of each."""
        return np.append(self.begins[1:], len(self.told.times)) - 1


def _by_series(
    points: _Points, values: Floats, series: MetricSeries, chosen: NDArray[np.intp]
) -> list[Line]:
    finite = np.isfinite(values)
    at, values = points.ends[finite], values[finite]
    of, times = points.told.series[at], points.told.times[at]
    found = []
    for place in np.unique(of):
        mine = of == place
        attributes = dict(series.attributes[int(series.attributes_of[chosen[place]])].as_py())
        found.append((attributes, times[mine].tolist(), values[mine].tolist()))
    return sorted(found, key=lambda line: str(line[0]))
