"""OTLP from the wire to Arrow columns, without a Python loop over points.

A point's attributes stay bytes. Each part of its identity (resource, scope and metric, attributes)
is replaced by a number; only parts whose bytes were never seen are decoded, and the numbers of the
three, packed into 64 bits, look the series up. What Python does once per distinct part, and not
per point, costs little: a fleet's points share their parts. Exemplars, which are few, are read one
by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar

from novacron_collector.otlp import values
from novacron_collector.otlp.catalog import Catalog, to_table
from novacron_collector.otlp.columns import (
    Codes,
    Ids,
    Names,
    SeriesIndex,
    named,
    parents,
    timestamps,
)
from novacron_collector.otlp.decoded import Decoded, OddMessageError, Outcome, Sighting
from novacron_collector.otlp.identity import series_id
from novacron_collector.otlp.limits import PointLimits, Reason, Window
from novacron_collector.otlp.parts import ATTRIBUTES_BITS, KINDS, STREAM_BITS, Metrics, Parts
from novacron_collector.otlp.plain import TABLES, exemplar_row
from novacron_collector.otlp.values import REASON_CODES, first_reason
from novacron_collector.otlp.wire import WireReader
from novacron_contract.errors import BadMessage
from novacron_store.telemetry.batch import SCHEMAS, Batch

_REASONS = {code: reason for reason, code in REASON_CODES.items() if isinstance(reason, Reason)}
_REASON_SPAN = 16  # more than there are reasons


@dataclass(frozen=True, slots=True)
class _Points:
    """Columns over the points of one kind. `of_metric` says which metric each is of."""

    kind: str
    rows: pa.StructArray
    of_metric: Codes
    attributes: Codes
    attributes_reason: Codes
    ts: Codes

    def where(self, keep: NDArray[np.bool_]) -> _Points:
        if keep.all():
            return self
        columns = (self.of_metric, self.attributes, self.attributes_reason, self.ts)
        rows = self.rows.filter(pa.array(keep))
        return _Points(self.kind, rows, *(column[keep] for column in columns))


class _Write:
    """What the decoding of some requests has found so far."""

    def __init__(self, parts: Parts, metrics: Metrics, requests: int) -> None:
        self.metrics = metrics
        self.outcomes = [Outcome() for _ in range(requests)]
        self.tables: dict[str, list[pa.Table]] = {}
        self.newest = np.zeros(len(metrics.groups.request), np.int64)  # of each group
        groups, streams, resources = metrics.groups, parts.streams, parts.resources
        self.names: Names = named(
            metrics.stream, lambda codes: [streams.values[code].metric for code in codes]
        )
        self.entities = named(
            groups.resource, lambda codes: [resources.values[code].entity.name for code in codes]
        )
        self.reasons = first_reason(
            streams.reasons(metrics.stream), resources.reasons(groups.resource)[metrics.group]
        )

    def count(self, requests: Codes, reasons: Codes) -> None:
        """Add points to their requests' outcomes."""
        counts = np.bincount(requests * _REASON_SPAN + reasons)
        for at in np.flatnonzero(counts).tolist():
            request, reason = divmod(at, _REASON_SPAN)
            count, outcome = int(counts[at]), self.outcomes[request]
            if reason:
                outcome.rejected[_REASONS[reason]] += count
            else:
                self.outcomes[request] = Outcome(outcome.points + count, outcome.rejected)

    def batch(self) -> Batch:
        whole = {name: pa.concat_tables(parts) for name, parts in self.tables.items() if parts}
        return Batch({name: table.unify_dictionaries() for name, table in whole.items()})


class RawDecoder:
    """Remembers what it has read, up to `capacity` series; serves one thread."""

    def __init__(self, limits: PointLimits, catalog: Catalog, capacity: int) -> None:
        self._limits = limits
        self._catalog = catalog
        self._capacity = capacity
        self._wire = WireReader()
        self.forget()

    def forget(self) -> None:
        self._parts = Parts(self._limits)
        self._series = SeriesIndex()

    def decode(self, bodies: Sequence[bytes], window: Window, now: int) -> Decoded:
        """Decode OTLP requests; `now` in unix milliseconds.

        Raises:
            BadMessage: a body is not OTLP.
            OddMessageError: valid, but the plain decoder must read it.
        """
        if len(self._series) > self._capacity or self._parts.is_crowded(self._capacity):
            self.forget()
        metrics = self._parts.metrics(self._wire.read(bodies))
        write = _Write(self._parts, metrics, len(bodies))
        for kind in KINDS:
            points = self._points(kind, metrics)
            if points is not None:
                self._add_tables(self._accepted(points, window, write), window, now, write)
        self._see(write)
        descriptions, sightings = self._catalog.take()
        batch = Batch(write.batch().tables | descriptions)
        return Decoded(batch, write.outcomes, sightings)

    def _points(self, kind: str, metrics: Metrics) -> _Points | None:
        lists = metrics.rows.field(kind).field("data_points")
        rows = lists.flatten()
        if not len(rows):
            return None
        codes, reasons = self._parts.attribute_codes(rows.field("attributes"))
        ts = values.millis(rows, "time_unix_nano")
        return _Points(kind, rows, parents(lists), codes, reasons, ts)

    def _accepted(self, points: _Points, window: Window, write: _Write) -> _Points:
        """The points to be stored; the others are counted in their request's outcome."""
        reasons = first_reason(
            write.reasons[points.of_metric],
            points.attributes_reason,
            values.time_reasons(points.ts, window),
            values.value_reasons(points.kind, points.rows, self._limits.max_buckets),
        )
        group = write.metrics.group[points.of_metric]
        write.count(write.metrics.groups.request[group], reasons)
        return points.where(reasons == 0)

    def _add_tables(self, points: _Points, window: Window, now: int, write: _Write) -> None:
        series = self._series_ids(points, write.metrics, now)
        group = write.metrics.group[points.of_metric]
        np.maximum.at(write.newest, group, points.ts)
        key = [write.names.at(points.of_metric), write.entities.at(group), pa.array(series)]
        name = TABLES[points.kind]
        start = values.millis(points.rows, "start_time_unix_nano")
        times = [timestamps(points.ts), timestamps(np.where(start <= points.ts, start, 0))]
        columns = [*key, *times, *values.columns(points.kind, points.rows)]
        schema = SCHEMAS[name]
        typed = [array.cast(f.type) for array, f in zip(columns, schema, strict=True)]
        write.tables.setdefault(name, []).append(pa.table(typed, schema=schema))
        if points.kind != "summary":
            write.tables.setdefault("exemplars", []).extend(self._exemplars(points, key, window))

    def _series_ids(self, points: _Points, metrics: Metrics, now: int) -> Ids:
        if not self._parts.fit_in_a_key():
            raise OddMessageError("more different parts than a key can tell apart")
        source = (metrics.groups.resource[metrics.group] << STREAM_BITS) | metrics.stream
        packed = (source[points.of_metric] << ATTRIBUTES_BITS) | points.attributes
        keys: Ids = packed.astype(np.uint64)
        ids, known = self._series.find(keys)
        if known.all():
            return ids
        fresh, first = np.unique(keys[~known], return_index=True)
        rows = np.flatnonzero(~known)[first].tolist()
        made = [self._new_series(points, metrics, row, now) for row in rows]
        self._series.add(fresh, np.array(made, np.uint64))
        return self._series.find(keys)[0]

    def _new_series(self, points: _Points, metrics: Metrics, row: int, now: int) -> int:
        metric = points.of_metric[row]
        resource = metrics.groups.resource[metrics.group[metric]]
        entity = self._parts.resources.values[resource].entity
        stream = self._parts.streams.values[metrics.stream[metric]]
        attributes = self._parts.attributes.values[points.attributes[row]]
        series = series_id(entity, stream, attributes)
        self._catalog.describe_series(series, entity, stream, attributes, now)
        return series

    def _see(self, write: _Write) -> None:
        groups = write.metrics.groups
        columns = (groups.resource.tolist(), groups.request.tolist(), write.newest.tolist())
        for code, request, newest in zip(*columns, strict=True):
            if newest:
                source = self._parts.resources.values[code]
                self._catalog.see(Sighting(request, source.entity, source.resource, newest))

    def _exemplars(self, points: _Points, key: list[pa.Array], window: Window) -> list[pa.Table]:
        lists = points.rows.field("exemplars")
        of_point, bodies = parents(lists).tolist(), lists.flatten().to_pylist()
        rows = []
        for point, body in zip(of_point, bodies, strict=True):
            row = exemplar_row(_read_exemplar(body), window, self._limits)
            if row is not None:
                rows.append((*(column[point].as_py() for column in key), *row))
        return [to_table("exemplars", rows)] if rows else []


def _read_exemplar(body: bytes) -> Any:
    try:
        return Exemplar.FromString(body)
    except DecodeError as err:
        raise BadMessage(f"not an OTLP metrics request: {err}") from err
