"""What the store has been told about series, metrics and entities, so that it is told once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from novacron_collector.otlp.attributes import Attributes
from novacron_collector.otlp.decoded import Sighting
from novacron_collector.otlp.identity import Entity, Stream
from novacron_store.telemetry.batch import SCHEMAS

_MAX_DESCRIPTION = 1024


class Catalog:
    """Collects the descriptions that go with the points of one write.

    Bounded: beyond `capacity` series it forgets, and describes again; equal rows collapse in the
    store. After a write that failed, call `forget`, or the store never hears of what was in it.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: set[Any] = set()
        self.series = 0  # of what is known
        self._current: dict[str, bytes] = {}  # entity -> its newest resource
        self._rows: dict[str, list[tuple[Any, ...]]] = {"series": [], "metrics": []}
        self._proven: Sequence[bool] = ()
        # By the resource, which says what entity it is; of unproven requests, and of proven ones.
        self._sightings: tuple[dict[bytes, Sighting], ...] = ({}, {})

    def begin(self, requests: int, proven: Sequence[bool] | None) -> None:
        """A write of so many requests begins. `proven`: which came from an agent that proved its
        identity; None: none did."""
        self._proven = proven or [False] * requests
        self._sightings = ({}, {})  # of a write that failed there may be some, by other numbers

    def describe_series(
        self, series: int, entity: Entity, stream: Stream, attributes: Attributes, now: int
    ) -> None:
        self._describe_metric(stream, now)  # a known series' metric may be described anew
        if series in self._known:
            return
        self._known.add(series)
        self.series += 1
        head = (stream.metric, entity.name, series)
        kind = (stream.kind, stream.temporality, stream.monotonic, stream.unit)
        labels = (list(attributes.texts), list(attributes.types))
        self._rows["series"].append((*head, *kind, *labels, stream.scope, now))

    def _describe_metric(self, stream: Stream, now: int) -> None:
        kind = (stream.kind, stream.temporality, stream.monotonic, stream.unit)
        row = (stream.metric, *kind, stream.description[:_MAX_DESCRIPTION])
        if row not in self._known:
            self._known.add(row)
            self._rows["metrics"].append((*row, now))

    def see(self, sightings: Iterable[Sighting]) -> None:
        """One for each machine and write: it costs no more than it must."""
        proven, either = self._proven, self._sightings
        for seen in sightings:
            newest = either[proven[seen.request]]
            known = newest.setdefault(seen.resource.canonical, seen)
            if (known.newest, -known.request) < (seen.newest, -seen.request):
                newest[seen.resource.canonical] = seen

    def take(self) -> tuple[dict[str, pa.Table], list[Sighting]]:
        """The descriptions and sightings since the last call."""
        sightings = [seen for some in self._sightings for seen in some.values()]
        rows = {**self._rows, "entities": self._changed(sightings)}
        self._rows = {"series": [], "metrics": []}
        self._sightings = ({}, {})
        tables = {name: to_table(name, rows[name]) for name in rows if rows[name]}
        if len(self._known) > self._capacity:
            self.forget()
        return tables, sightings

    def forget(self) -> None:
        self._known.clear()
        self.series = 0
        self._current.clear()

    def _changed(self, sightings: list[Sighting]) -> list[tuple[Any, ...]]:
        """Entities that are new or look other than when they were written last; of several looks
        in one write the newest is the one to compare with."""
        rows = []
        changed = [s for s in sightings if self._current.get(s.entity.name) != s.resource.canonical]
        for seen in sorted(changed, key=lambda seen: (seen.newest, seen.resource.canonical)):
            self._current[seen.entity.name] = seen.resource.canonical
            labels = (list(seen.resource.texts), list(seen.resource.types))
            rows.append((seen.entity.name, seen.entity.type, *labels, seen.newest))
        return rows


def to_table(name: str, rows: list[tuple[Any, ...]]) -> pa.Table:
    """Rows, as tuples in the order of the schema, as an Arrow table."""
    schema = SCHEMAS[name]
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)
