"""Which series a metric has, and their labels: asked for once in a while, then looked up here.

The attributes of a series are few for each metric, its entity's tags are few for each entity: both
are kept apart, and a label is looked at once for each of its values, however many series have it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from numpy.typing import NDArray

from novacron_contract.errors import BadMessage
from novacron_store.telemetry import schema
from novacron_store.telemetry.blocks import CLASS
from novacron_store.telemetry.builder.filters import Chosen, Filter, Label, choose
from novacron_store.telemetry.builder.held import Behind, Held, HeldByKey
from novacron_store.telemetry.builder.held_hours import HeldHours
from novacron_store.telemetry.cheaply import CHEAPLY
from novacron_store.telemetry.client import contract_errors
from novacron_store.telemetry.metric import MetricInfo, metric_infos
from novacron_store.telemetry.progress import Begins, Progress, begins, borders
from novacron_store.telemetry.samples import Borders

HELD_S = 10.0
BORDERS_HELD_S = 2.0  # what was gathered or closed since is still where it was
_LONG_HELD_S = 60.0  # a metric's kind and unit; where resolutions begin, unless a border moves
_EVER = datetime(2200, 1, 1, tzinfo=UTC)
_CANNOT_COMPILE_REGEXP = 427
_SERIES = f"""
SELECT metric, {CLASS} AS class, attributes, groupArray(series) AS ids,
    groupArray(entity) AS entities
FROM (
    SELECT metric, series, any(s.entity) AS entity, any(s.attributes) AS attributes
    FROM {schema.SERIES} AS s WHERE metric IN {{metrics:Array(String)}}%s GROUP BY metric, series
)
GROUP BY metric, attributes
{CHEAPLY}"""
_TAGS = f"""
SELECT entity, argMax(s.resource, last_seen) AS tags FROM {schema.ENTITIES} AS s
WHERE first_seen <= fromUnixTimestamp64Milli({{at:Int64}}, 'UTC')%s GROUP BY entity ORDER BY entity
{CHEAPLY}"""
_OF_ENTITY = " AND s.entity = {entity:String}"
_MATCHES = "SELECT arrayMap(x -> match(x, {pattern:String}), {values:Array(String)})"

Codes = NDArray[np.int32]
_Key = tuple[tuple[str, ...], int, str | None]  # metrics, tags as of, entity


@dataclass(frozen=True, slots=True)
class Tags:
    """What resources of entities say, by entity."""

    entities: list[str]
    maps: pa.Array

    @classmethod
    def ask(cls, client: Client, at: datetime, entity: str | None = None) -> Tags:
        parameters = {"at": int(at.timestamp() * 1000), "entity": entity}
        rows = _ask(client, _TAGS, parameters)
        return cls(rows["entity"].to_pylist(), _whole(rows["tags"]))


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """The series of a metric, or of some, in the order of their ids; not `whole`: of an entity."""

    metrics: list[MetricInfo]
    metric_of: Codes
    ids: NDArray[np.uint64]
    classes: NDArray[np.uint32]
    attributes: pa.Array  # distinct ones, as maps
    attributes_of: Codes  # of each series, an index into `attributes`
    entities: list[str]  # distinct ones
    entity_of: Codes
    tags: Tags
    whole: bool = True
    _labels: dict[str, tuple[Codes, list[str]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def label(self, name: str) -> tuple[Codes, list[str]]:
        """Of each series an index into the values that the label has; "" where it has none."""
        known = self._labels.get(name)
        if known is None:
            known = self._labels[name] = self._look_up(name)
        return known

    def _look_up(self, name: str) -> tuple[Codes, list[str]]:
        if name == "entity":
            return self.entity_of, self.entities
        if name == "metric":
            return self.metric_of, [info.metric for info in self.metrics]
        own = _values(self.attributes, name)
        tags = dict(zip(self.tags.entities, _values(self.tags.maps, name), strict=True))
        theirs = [tags.get(entity, "") for entity in self.entities]
        values = sorted({*own, *theirs, ""})
        code = {value: n for n, value in enumerate(values)}
        mine = np.array([code[value] for value in own], np.int32)[self.attributes_of]
        tag = np.array([code[value] for value in theirs], np.int32)[self.entity_of]
        return np.where(mine == code[""], tag, mine), values

    def attribute_names(self, rows: NDArray[np.intp]) -> list[str]:
        """Of those series."""
        kinds = np.unique(self.attributes_of[rows])
        maps = self.attributes.take(pa.array(kinds)).to_pylist()
        return sorted({name for one in maps for name, _ in one})

    def choose(self, where: Filter, matches: Callable[[str, list[str]], list[bool]]) -> Chosen:
        """
        Raises:
            BadMessage: a wrong regular expression, or conditions that are nested too deeply.
        """

        def compared(of: Label) -> Chosen:
            codes, values = self.label(of.name)
            if of.op in ("=~", "!~"):
                holds = matches(of.value, values)
            else:
                holds = [value == of.value for value in values]
            chosen: Chosen = np.array(holds, bool)[codes]
            return ~chosen if of.op in ("!=", "!~") else chosen

        return choose(where, compared, len(self))


class Index:
    """Series of metrics, as they were some seconds ago. Threads that want the same ask once; with
    `behind`, which gives a thread of its own a client, none waits for what was known before.

    Who asks more than one question gives `hours`, in which closed ones are held."""

    def __init__(
        self,
        behind: Callable[[], Client] | None = None,
        held_s: float = HELD_S,
        borders_held_s: float = BORDERS_HELD_S,
        hours: HeldHours | None = None,
    ) -> None:
        again = Behind(behind) if behind else None
        self._series = HeldByKey[_Key, Client, MetricSeries](held_s, again)
        self._infos = HeldByKey[tuple[str, ...], Client, list[MetricInfo]](_LONG_HELD_S, again)
        self._tags = HeldByKey[tuple[int, str | None], Client, Tags](held_s, again)
        self._borders = Held[Client, Borders](borders_held_s, again)
        self._begins = HeldByKey[Borders, Client, Begins](_LONG_HELD_S, again)
        self.hours = hours

    def series(
        self,
        client: Client,
        metrics: Sequence[str],
        as_of: datetime | None = None,
        entity: str | None = None,
    ) -> MetricSeries:
        """With the tags of now, or those `as_of` then; of an entity alone, or at least of that.

        Raises:
            NotFound: nobody ever sent one of the metrics.
        """
        once = tuple(dict.fromkeys(metrics))  # twice there, a series is half of it each time
        at = int(as_of.timestamp()) if as_of else 0
        if self._series.is_fresh((once, at, None)):
            entity = None
        return self._series.get(
            (once, at, entity), client, lambda client: self._ask(client, once, as_of, entity)
        )

    def _ask(
        self, client: Client, metrics: tuple[str, ...], as_of: datetime | None, entity: str | None
    ) -> MetricSeries:
        """In one statement, however many metrics: each costs its planning."""
        infos = self._infos.get(metrics, client, lambda client: metric_infos(client, metrics))
        tags = self._tags_of(client, as_of, entity)
        rows = _ask(client, _SERIES, {"metrics": list(metrics), "entity": entity})
        whole = entity is None
        if len(infos) == 1:
            return _series(infos[0], rows, tags, whole)
        of = [rows.filter(pc.equal(rows["metric"], info.metric)) for info in infos]
        return _united(
            [_series(info, its, tags, whole) for info, its in zip(infos, of, strict=True)]
        )

    def progress(self, client: Client) -> Progress:
        """Where each resolution ends, or did some seconds ago, and begins, or did a minute ago.

        Begins are asked for again when a border moves, and as long as there are no samples.
        """
        with contract_errors():
            ends = self._borders.get(client, borders)
            known = self._begins.get(ends, client, begins)
            return Progress(ends, known if known.first_raw else begins(client))

    def _tags_of(self, client: Client, as_of: datetime | None, entity: str | None) -> Tags:
        key = (int(as_of.timestamp()) if as_of else 0, entity)
        return self._tags.get(key, client, lambda client: Tags.ask(client, as_of or _EVER, entity))


def _ask(client: Client, sql: str, parameters: dict[str, Any]) -> pa.Table:
    """Of one entity, if it is named."""
    sql %= _OF_ENTITY if parameters["entity"] is not None else ""
    return client.query_arrow(sql, parameters=parameters, use_strings=True)


def _series(info: MetricInfo, rows: pa.Table, tags: Tags, whole: bool) -> MetricSeries:
    ids, entities = (_whole(rows[name]) for name in ("ids", "entities"))
    each = np.diff(ids.offsets.to_numpy())
    series = ids.flatten().to_numpy(zero_copy_only=False)
    named = entities.flatten()
    if not pa.types.is_dictionary(named.type):
        named = named.dictionary_encode()
    order = np.argsort(series)
    kind = np.repeat(np.arange(rows.num_rows, dtype=np.int32), each)[order]
    classes = rows["class"].to_numpy().astype(np.uint32)[kind]
    return MetricSeries(
        [info],
        np.zeros(len(series), np.int32),
        series[order],
        classes,
        _whole(rows["attributes"]),
        kind,
        named.dictionary.to_pylist(),
        named.indices.to_numpy().astype(np.int32)[order],
        tags,
        whole,
    )


def _united(every: Sequence[MetricSeries]) -> MetricSeries:
    """Series of several metrics as if these were one."""
    entities = sorted({name for one in every for name in one.entities})
    code = {name: n for n, name in enumerate(entities)}
    first = np.cumsum([0, *(len(one.attributes) for one in every)])
    order = np.argsort(np.concatenate([one.ids for one in every]))

    def joined(arrays: list[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(arrays)[order]

    return MetricSeries(
        [info for one in every for info in one.metrics],
        joined([np.full(len(one), n, np.int32) for n, one in enumerate(every)]),
        joined([one.ids for one in every]),
        joined([one.classes for one in every]),
        pa.concat_arrays([one.attributes for one in every]),
        joined([one.attributes_of + n for n, one in zip(first, every, strict=False)]),
        entities,
        joined([
            np.array([code[name] for name in one.entities], np.int32)[one.entity_of]
            for one in every
        ]),
        every[0].tags,
        all(one.whole for one in every),
    )  # fmt: skip


def matcher(client: Client) -> Callable[[str, list[str]], list[bool]]:
    """Regular expressions are ClickHouse's, RE2, which no expression can keep busy for long."""

    def matches(pattern: str, values: list[str]) -> list[bool]:
        parameters = {"pattern": f"^(?:{pattern})$", "values": values}
        try:
            return [
                bool(x) for x in client.query(_MATCHES, parameters=parameters).result_rows[0][0]
            ]
        except DatabaseError as err:
            if err.code == _CANNOT_COMPILE_REGEXP:
                raise BadMessage(f"the regular expression {pattern!r} is not one of RE2") from err
            raise

    return matches


def _values(maps: pa.Array, name: str) -> list[str]:
    found: list[str | None] = pc.map_lookup(maps, pa.scalar(name), "first").to_pylist()
    return [value or "" for value in found]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
