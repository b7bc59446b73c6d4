"""The series of an exported table, told apart by their place: two may have equal labels, of
different instrumentation scopes for one, and attributes may be called as they please."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from novacron_contract.base_units import base_unit, per_second
from novacron_contract.errors import BadMessage
from novacron_store.telemetry import schema
from novacron_store.telemetry.builder import Index, Over
from novacron_store.telemetry.builder.filters import Filter, Label, only
from novacron_store.telemetry.builder.index import MetricSeries, Tags, matcher
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.metric import MetricInfo
from novacron_store.telemetry.progress import Progress

FIXED = ("time", "metric", "entity", "unit", "value", "count")
_PLACE = "place"
_MAP = pa.map_(pa.string(), pa.string())
_TEXTS = pa.dictionary(pa.int32(), pa.string())
_OTHER_UNITS = f"""
SELECT unit, groupArray(series) FROM {schema.SERIES}
WHERE metric = {{metric:String}} AND unit != {{unit:String}} GROUP BY unit"""


class _ByPlace(Index):
    """As `of` is now, but each series that was chosen has one label alone: its place."""

    def __init__(self, of: Index, known: MetricSeries, chosen: NDArray[np.intp]) -> None:
        super().__init__(hours=of.hours)
        self._of = of
        places = [[(_PLACE, str(place))] for place in range(len(chosen))]
        place_of = np.full(len(known), len(chosen), np.int32)
        place_of[chosen] = np.arange(len(chosen), dtype=np.int32)
        self._known = MetricSeries(
            known.metrics, known.metric_of, known.ids, known.classes,
            pa.array([*places, []], _MAP), place_of, known.entities, known.entity_of,
            Tags([], pa.array([], _MAP)), known.whole,
        )  # fmt: skip

    def series(
        self,
        client: Client,
        metrics: Sequence[str],
        as_of: datetime | None = None,
        entity: str | None = None,
    ) -> MetricSeries:
        return self._known

    def progress(self, client: Client) -> Progress:
        return self._of.progress(client)


@dataclass(frozen=True, slots=True)
class ExportedSeries:
    """Those of a metric that were chosen. A place is an index into `chosen`, which are indices into
    `known`; the builder is asked with `index` and `where`, and answers with labels of a `place`."""

    known: MetricSeries
    chosen: NDArray[np.intp]
    index: Index

    where = Label(_PLACE, "!=", "")

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def info(self) -> MetricInfo:
        return self.known.metrics[0]

    @property
    def metric(self) -> str:
        return self.info.metric

    def place(self, labels: Mapping[str, str]) -> int:
        return int(labels[_PLACE])

    def entities(self, places: NDArray[np.intp]) -> pa.Array:
        return pa.array(self.known.entities, pa.string()).take(
            pa.array(self.known.entity_of[self.chosen[places]])
        )

    def attribute_names(self) -> list[str]:
        return self.known.attribute_names(self.chosen)

    def attribute(self, name: str, places: NDArray[np.intp]) -> pa.Array:
        """Its values; null where a series has no such attribute."""
        kinds = pa.array(self.known.attributes_of[self.chosen[places]])
        return _looked_up(self.known.attributes, name).take(kinds)

    def tag(self, name: str, places: NDArray[np.intp]) -> pa.Array:
        tags = self.known.tags
        of_entity = dict(zip(tags.entities, _looked_up(tags.maps, name).to_pylist(), strict=True))
        every = pa.array([of_entity.get(entity) for entity in self.known.entities], pa.string())
        return every.take(pa.array(self.known.entity_of[self.chosen[places]]))

    def in_order(self, places: Sequence[int]) -> NDArray[np.intp]:
        """Sorted by entity, then by attributes."""
        found = np.array(sorted(places), np.intp)
        columns = {"entity": self.entities(found)}
        columns |= {f"{n}": self.attribute(name, found)
                    for n, name in enumerate(self.attribute_names())}  # fmt: skip
        order = pc.sort_indices(pa.table(columns), [(name, "ascending") for name in columns])
        ordered: NDArray[np.intp] = found[order.to_numpy()]
        return ordered

    def units(
        self, client: Client, places: NDArray[np.intp], over: Over | None
    ) -> tuple[list[str], list[float]]:
        """The base unit of what `over` tells of each series, and the factor of its values: senders
        may have one metric in different units."""
        if over is Over.COUNT:
            return ["1"] * len(places), [1.0] * len(places)
        sent = dict.fromkeys(self.known.ids[self.chosen[places]].tolist(), self.info.unit)
        asked = {"metric": self.metric, "unit": self.info.unit}
        with contract_errors():
            rows = client.query(_OTHER_UNITS, parameters=asked).result_rows
        for unit, ids in rows:
            sent |= {series: unit for series in ids if series in sent}
        told = {unit: base_unit(unit) for unit in set(sent.values())}
        if over in (Over.RATE, Over.DERIVATIVE):
            told = {unit: (per_second(base), factor) for unit, (base, factor) in told.items()}
        return [told[unit][0] for unit in sent.values()], [told[u][1] for u in sent.values()]


def select(client: Client, index: Index, metric: str, where: Filter) -> ExportedSeries:
    """The series of a metric that `where` chooses.

    Raises:
        NotFound: nobody ever sent the metric.
        BadMessage: it has no single values, or a condition makes no sense.
    """
    with contract_errors():
        known = index.series(client, (metric,), entity=only(where, "entity"))
        (info,) = known.metrics
        if info.kind not in ("gauge", "sum"):
            raise BadMessage(
                f"{metric} is a {info.kind.replace('_', ' ')}: expected a gauge or a sum, whose "
                "samples are single numbers"
            )
        (chosen,) = np.nonzero(known.choose(where, matcher(client)))
    return ExportedSeries(known, chosen, _ByPlace(index, known, chosen))


def columns_of(
    parts: Sequence[tuple[ExportedSeries, NDArray[np.intp], list[str]]], tags: Sequence[str]
) -> pa.Table:
    """A row for each series at the places of each part, with its unit: dictionary columns."""
    attributes = sorted({name for of, *_ in parts for name in of.attribute_names()})
    names = list(dict.fromkeys((*attributes, *tags)))
    columns: dict[str, list[pa.Array]] = {"metric": [], "entity": []}
    columns |= {_column(name): [] for name in names} | {"unit": []}
    for of, places, units in parts:
        columns["metric"].append(pa.array([of.metric] * len(places), pa.string()))
        columns["entity"].append(of.entities(places))
        columns["unit"].append(pa.array(units, pa.string()))
        for name in names:
            value = of.attribute(name, places)
            if name in tags:
                value = pc.coalesce(value, of.tag(name, places))
            columns[_column(name)].append(value)
    return pa.table({name: _encoded(pieces) for name, pieces in columns.items()})


def _column(name: str) -> str:
    """No two labels share one, and none has that of a column that is always there."""
    clashes = name in FIXED or name.startswith("attribute.")
    return f"attribute.{name}" if clashes else name


def _encoded(pieces: list[pa.Array]) -> pa.ChunkedArray:
    whole = pa.concat_arrays(pieces).dictionary_encode().cast(_TEXTS)
    return pa.chunked_array([whole], _TEXTS)


def _looked_up(maps: pa.Array, name: str) -> pa.Array:
    return pc.map_lookup(maps, pa.scalar(name), "first").cast(pa.string())
