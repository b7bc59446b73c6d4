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
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from novacron_collector.otlp import values
from novacron_collector.otlp.attributes import Attributes, read_attributes
from novacron_collector.otlp.catalog import Catalog, to_table
from novacron_collector.otlp.columns import (
    Codes,
    Ids,
    SeriesIndex,
    combine,
    encode,
    joined,
    lengths,
    named,
    parents,
    timestamps,
)
from novacron_collector.otlp.decoded import Decoded, OddMessageError, Outcome, Sighting
from novacron_collector.otlp.identity import Entity, Stream, entity_of, series_id
from novacron_collector.otlp.interning import Interned
from novacron_collector.otlp.limits import (
    PointLimits,
    Reason,
    Window,
    attributes_reason,
    stream_reason,
)
from novacron_collector.otlp.plain import TABLES, TEMPORALITIES, exemplar_row
from novacron_collector.otlp.values import REASON_CODES, first_reason
from novacron_collector.otlp.wire import WireReader
from novacron_contract.errors import BadMessage
from novacron_store.telemetry.batch import SCHEMAS, Batch

_KINDS = tuple(TABLES)
_RESOURCE_BITS, _STREAM_BITS, _ATTRIBUTES_BITS = 22, 18, 24  # of the key of a series
_MAX_BYTES = 256 * 2**20  # of interned parts; beyond it they are forgotten and read again

_StreamKey = tuple[int, str, str, str, int]  # scope, name, unit, description, flags
_AttributesKey = tuple[bytes, bytes]  # joined, lengths


@dataclass(frozen=True, slots=True)
class _Source:
    entity: Entity
    resource: Attributes
    reason: int


@dataclass(frozen=True, slots=True)
class _Metrics:
    """Columns over the metrics of all requests, in the order in which they came."""

    rows: pa.StructArray
    request: Codes
    resource: Codes
    stream: Codes
    kind: Codes


@dataclass(frozen=True, slots=True)
class _Points:
    """Columns over the points of one kind."""

    kind: str
    rows: pa.StructArray
    request: Codes
    resource: Codes
    stream: Codes
    attributes: Codes
    ts: Codes

    def where(self, keep: NDArray[np.bool_]) -> _Points:
        if keep.all():
            return self
        columns = (self.request, self.resource, self.stream, self.attributes, self.ts)
        rows = self.rows.filter(pa.array(keep))
        return _Points(self.kind, rows, *(column[keep] for column in columns))


class RawDecoder:
    """Remembers what it has read, up to `capacity` series; serves one thread."""

    def __init__(self, limits: PointLimits, catalog: Catalog, capacity: int) -> None:
        self._limits = limits
        self._catalog = catalog
        self._capacity = capacity
        self._wire = WireReader()
        self._resources: Interned[bytes, _Source] = Interned(self._read_resource, len)
        self._scopes: Interned[bytes, Any] = Interned(InstrumentationScope.FromString, len)
        self._streams: Interned[_StreamKey, tuple[Stream, int]] = Interned(
            self._read_stream, lambda key: len(key[1]) + len(key[2]) + len(key[3])
        )
        self._attributes: Interned[_AttributesKey, tuple[Attributes, int]] = Interned(
            self._read_attributes, lambda key: len(key[0]) + len(key[1])
        )
        self._series = SeriesIndex()

    def decode(self, bodies: Sequence[bytes], window: Window, now: int) -> Decoded:
        """Decode OTLP requests; `now` in unix milliseconds.

        Raises:
            BadMessage: a body is not OTLP.
            OddMessageError: valid, but the plain decoder must read it.
        """
        self._bound()
        metrics = self._metrics(self._wire.read(bodies))
        outcomes = [Outcome() for _ in bodies]
        tables: dict[str, list[pa.Table]] = {}
        for kind in _KINDS:
            points = self._points(kind, metrics)
            if points is None:
                continue
            points = self._accepted(points, window, outcomes)
            if len(points.ts):
                self._add_tables(points, window, now, tables)
        descriptions, sightings = self._catalog.take()
        whole = {name: pa.concat_tables(parts) for name, parts in tables.items() if parts}
        unified = {name: table.unify_dictionaries() for name, table in whole.items()}
        return Decoded(Batch(unified | descriptions), outcomes, sightings)

    def forget(self) -> None:
        for parts in (self._resources, self._scopes, self._streams, self._attributes):
            parts.clear()
        self._series = SeriesIndex()

    def _bound(self) -> None:
        parts = (self._resources, self._scopes, self._streams, self._attributes)
        if (
            len(self._resources) >= 1 << (_RESOURCE_BITS - 1)
            or len(self._streams) >= 1 << (_STREAM_BITS - 1)
            or len(self._attributes) > self._capacity
            or len(self._series) > self._capacity
            or sum(part.bytes for part in parts) > _MAX_BYTES
        ):
            self.forget()

    # -- reading what was never seen ------------------------------------------------------------

    def _read_resource(self, body: bytes) -> _Source:
        attributes = read_attributes(Resource.FromString(body).attributes)
        reason = attributes_reason(attributes, self._limits)
        return _Source(entity_of(attributes), attributes, REASON_CODES[reason])

    def _read_stream(self, key: _StreamKey) -> tuple[Stream, int]:
        code, name, unit, description, flags = key
        scope = self._scopes.values[code]
        stream = Stream(
            metric=name,
            unit=unit,
            kind=_KINDS[flags // 6],
            temporality=TEMPORALITIES.get(flags // 2 % 3, "unspecified"),
            monotonic=bool(flags % 2),
            description=description,
            scope=scope.name,
            scope_attributes=read_attributes(scope.attributes),
        )
        return stream, REASON_CODES[stream_reason(stream, self._limits)]

    def _read_attributes(self, key: _AttributesKey) -> tuple[Attributes, int]:
        body, sizes = key
        ends = np.cumsum(np.frombuffer(sizes, np.int32)).tolist()
        starts = [0, *ends][:-1]
        pairs = [KeyValue.FromString(body[a:b]) for a, b in zip(starts, ends, strict=True)]
        attributes = read_attributes(pairs)
        return attributes, REASON_CODES[attributes_reason(attributes, self._limits)]

    # -- from requests to metrics to points -----------------------------------------------------

    def _metrics(self, requests: pa.ListArray) -> _Metrics:
        groups = requests.flatten()
        scoped_lists = groups.field("scope_metrics")
        scoped = scoped_lists.flatten()
        metric_lists = scoped.field("metrics")
        rows = metric_lists.flatten()
        of_scoped = parents(metric_lists)
        of_group = parents(scoped_lists)[of_scoped]
        codes, bodies = encode(joined(groups.field("resource")))
        resource = self._resources.codes(bodies)[codes][of_group]
        codes, bodies = encode(joined(scoped.field("scope")))
        scope = self._scopes.codes(bodies)[codes][of_scoped]
        kind, flags = _kinds(rows)
        stream = self._stream_codes(rows, scope, flags)
        return _Metrics(rows, parents(requests)[of_group], resource, stream, kind)

    def _stream_codes(self, rows: pa.StructArray, scope: Codes, flags: Codes) -> Codes:
        texts = [encode(rows.field(name)) for name in ("name", "unit", "description")]
        codes, first = combine(scope, flags, *(column for column, _ in texts))
        # A metric without points has no kind, and no point asks for its stream.
        keys = [
            (int(scope[row]), *(names[column[row]] for column, names in texts), int(flags[row]))
            for row in first.tolist()
        ]
        return self._streams.codes(keys)[codes]

    def _points(self, kind: str, metrics: _Metrics) -> _Points | None:
        lists = metrics.rows.field(kind).field("data_points")
        rows = lists.flatten()
        if not len(rows):
            return None
        of_metric = parents(lists)
        return _Points(
            kind=kind,
            rows=rows,
            request=metrics.request[of_metric],
            resource=metrics.resource[of_metric],
            stream=metrics.stream[of_metric],
            attributes=self._attribute_codes(rows.field("attributes")),
            ts=values.millis(rows, "time_unix_nano"),
        )

    def _attribute_codes(self, lists: pa.ListArray) -> Codes:
        (bodies, body_of), (sizes, sizes_of) = encode(joined(lists)), encode(lengths(lists))
        codes, first = combine(bodies, sizes)
        pairs = zip(bodies[first].tolist(), sizes[first].tolist(), strict=True)
        return self._attributes.codes([(body_of[b], sizes_of[s]) for b, s in pairs])[codes]

    # -- from points to rows --------------------------------------------------------------------

    def _accepted(self, points: _Points, window: Window, outcomes: list[Outcome]) -> _Points:
        """The points to be stored; the others are counted in their request's outcome."""
        reasons = first_reason(
            _per_code(points.stream, lambda code: self._streams.values[code][1]),
            _per_code(points.resource, lambda code: self._resources.values[code].reason),
            _per_code(points.attributes, lambda code: self._attributes.values[code][1]),
            values.time_reasons(points.ts, window),
            values.value_reasons(points.kind, points.rows, self._limits.max_buckets),
        )
        keep = reasons == 0
        stored = np.bincount(points.request[keep], minlength=len(outcomes))
        refused = np.bincount(points.request[~keep] * 16 + reasons[~keep]).tolist()
        rejected = {at: count for at, count in enumerate(refused) if count}
        for request, count in enumerate(stored.tolist()):
            outcome = outcomes[request]
            outcomes[request] = Outcome(outcome.points + count, outcome.rejected)
        for at, count in rejected.items():
            outcomes[at // 16].rejected[_REASONS[at % 16]] += count
        return points.where(keep)

    def _add_tables(
        self, points: _Points, window: Window, now: int, tables: dict[str, list[pa.Table]]
    ) -> None:
        series = self._series_ids(points, now)
        key = [
            named(points.stream, lambda code: self._streams.values[code][0].metric),
            named(points.resource, lambda code: self._resources.values[code].entity.name),
            pa.array(series),
        ]
        name = TABLES[points.kind]
        start = values.millis(points.rows, "start_time_unix_nano")
        times = [timestamps(points.ts), timestamps(np.where(start <= points.ts, start, 0))]
        columns = [*key, *times, *values.columns(points.kind, points.rows)]
        schema = SCHEMAS[name]
        typed = [array.cast(f.type) for array, f in zip(columns, schema, strict=True)]
        tables.setdefault(name, []).append(pa.table(typed, schema=schema))
        if points.kind != "summary":
            tables.setdefault("exemplars", []).extend(self._exemplars(points, key, window))
        self._see(points)

    def _series_ids(self, points: _Points, now: int) -> Ids:
        sizes = (len(self._resources), len(self._streams), len(self._attributes))
        bits = (_RESOURCE_BITS, _STREAM_BITS, _ATTRIBUTES_BITS)
        if any(size > 1 << width for size, width in zip(sizes, bits, strict=True)):
            raise OddMessageError("more different parts than a key can tell apart")
        packed = (points.resource << _STREAM_BITS) | points.stream
        keys: Ids = ((packed << _ATTRIBUTES_BITS) | points.attributes).astype(np.uint64)
        ids, known = self._series.find(keys)
        if known.all():
            return ids
        fresh, first = np.unique(keys[~known], return_index=True)
        rows = np.flatnonzero(~known)[first].tolist()
        self._series.add(fresh, np.array([self._new(points, r, now) for r in rows], np.uint64))
        return self._series.find(keys)[0]

    def _new(self, points: _Points, row: int, now: int) -> int:
        entity = self._resources.values[points.resource[row]].entity
        stream = self._streams.values[points.stream[row]][0]
        attributes = self._attributes.values[points.attributes[row]][0]
        series = series_id(entity, stream, attributes)
        self._catalog.describe_series(series, entity, stream, attributes, now)
        return series

    def _see(self, points: _Points) -> None:
        codes, first = combine(points.resource, points.request)
        newest = np.zeros(len(first), np.int64)
        np.maximum.at(newest, codes, points.ts)
        for row, ts in zip(first.tolist(), newest.tolist(), strict=True):
            source = self._resources.values[points.resource[row]]
            request = int(points.request[row])
            self._catalog.see(Sighting(request, source.entity, source.resource, ts))

    def _exemplars(self, points: _Points, key: list[pa.Array], window: Window) -> list[pa.Table]:
        lists = points.rows.field("exemplars")
        of_point, bodies = parents(lists).tolist(), lists.flatten().to_pylist()
        rows = []
        for point, body in zip(of_point, bodies, strict=True):
            row = exemplar_row(_read_exemplar(body), window, self._limits)
            if row is not None:
                rows.append((*(column[point].as_py() for column in key), *row))
        return [to_table("exemplars", rows)] if rows else []


_REASONS = {code: reason for reason, code in REASON_CODES.items() if isinstance(reason, Reason)}


def _kinds(rows: pa.StructArray) -> tuple[Codes, Codes]:
    """Each metric's kind, and its kind, temporality and monotonicity in one number."""
    kind = np.zeros(len(rows), np.int64)
    kinds = np.zeros(len(rows), np.int64)
    flags = np.zeros(len(rows), np.int64)
    for code, name in enumerate(_KINDS):
        data = rows.field(name)
        present = np.asarray(data.is_valid())
        kind[present] = code
        kinds += present
        flags[present] = code * 6
        if data.type.get_field_index("aggregation_temporality") >= 0:
            sent = np.asarray(data.field("aggregation_temporality"))
            flags += np.where(present & ((sent == 1) | (sent == 2)), sent, 0) * 2
        if data.type.get_field_index("is_monotonic") >= 0:
            flags += present & np.asarray(data.field("is_monotonic").to_numpy(zero_copy_only=False))
    if (kinds > 1).any():
        raise OddMessageError("a metric of two kinds: the last one counts")
    return kind, flags


def _per_code(codes: Codes, value_of: Any) -> Codes:
    """`value_of` each distinct code, spread to its rows."""
    local, first = combine(codes)
    return np.array([value_of(code) for code in codes[first].tolist()], np.int64)[local]


def _read_exemplar(body: bytes) -> Any:
    try:
        return Exemplar.FromString(body)
    except DecodeError as err:
        raise BadMessage(f"not an OTLP metrics request: {err}") from err
