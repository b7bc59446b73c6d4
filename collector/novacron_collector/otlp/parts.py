"""The parts of a point's identity as numbers; only parts whose bytes were never seen are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from novacron_collector.otlp.attributes import Attributes, read_attributes
from novacron_collector.otlp.columns import Codes, Ids, combine, encode, joined, lengths, parents
from novacron_collector.otlp.decoded import OddMessageError
from novacron_collector.otlp.identity import Entity, Stream, entity_of
from novacron_collector.otlp.interning import Interned
from novacron_collector.otlp.limits import PointLimits, Reason, attributes_reason, stream_reason
from novacron_collector.otlp.plain import TABLES, TEMPORALITIES
from novacron_collector.otlp.values import REASON_CODES

KINDS = tuple(TABLES)
_RESOURCE_BITS, _STREAM_BITS, _ATTRIBUTES_BITS = 22, 18, 24  # of the key of a series
_MAX_BYTES = 256 * 2**20  # of all parts; beyond it they are forgotten, and read again

_StreamKey = tuple[int, str, str, str, int]  # scope, name, unit, description, flags
_AttributesKey = tuple[bytes, bytes]  # joined, lengths


@dataclass(frozen=True, slots=True)
class Source:
    entity: Entity
    resource: Attributes


@dataclass(frozen=True, slots=True)
class Groups:
    """Columns over the ResourceMetrics of all requests."""

    request: Codes
    resource: Codes


@dataclass(frozen=True, slots=True)
class Metrics:
    """Columns over the metrics of all requests; `group` says which of the groups each is in."""

    rows: pa.StructArray
    groups: Groups
    group: Codes
    stream: Codes


@dataclass(frozen=True, slots=True)
class Points:
    """Columns over the points of one kind. `of_metric` says which metric each is of."""

    kind: str
    rows: pa.StructArray
    of_metric: Codes
    attributes: Codes
    attributes_reason: Codes
    ts: Codes

    def where(self, keep: NDArray[np.bool_]) -> Points:
        if keep.all():
            return self
        columns = (self.of_metric, self.attributes, self.attributes_reason, self.ts)
        rows = self.rows.filter(pa.array(keep))
        return Points(self.kind, rows, *(column[keep] for column in columns))


class Parts:
    """Resources, streams and attributes that have been seen, by number."""

    def __init__(self, limits: PointLimits) -> None:
        self._limits = limits
        self._scopes: Interned[bytes, Any] = Interned(_read_scope, len)
        self.resources: Interned[bytes, Source] = Interned(self._read_resource, len)
        self.streams: Interned[_StreamKey, Stream] = Interned(
            self._read_stream, lambda key: len(key[1]) + len(key[2]) + len(key[3])
        )
        self.attributes: Interned[_AttributesKey, Attributes] = Interned(
            self._read_attributes, lambda key: len(key[0]) + len(key[1])
        )

    def metrics(self, requests: pa.ListArray) -> Metrics:
        """
        Raises:
            BadMessage: a resource or a scope cannot be read.
        """
        group_rows = requests.flatten()
        codes, bodies = encode(joined(group_rows.field("resource")))
        groups = Groups(parents(requests), self.resources.codes(bodies)[codes])
        scoped_lists = group_rows.field("scope_metrics")
        scoped = scoped_lists.flatten()
        metric_lists = scoped.field("metrics")
        rows = metric_lists.flatten()
        of_scoped = parents(metric_lists)
        codes, bodies = encode(joined(scoped.field("scope")))
        scope = self._scopes.codes(bodies)[codes][of_scoped]
        return Metrics(
            rows, groups, parents(scoped_lists)[of_scoped], self._stream_codes(rows, scope)
        )

    def attribute_codes(self, lists: pa.ListArray) -> tuple[Codes, Codes]:
        """The attributes of each point, and why they cannot be stored.

        Raises:
            BadMessage: some cannot be read.
        """
        (bodies, body_of), (sizes, sizes_of) = encode(joined(lists)), encode(lengths(lists))
        local, first = combine(bodies, sizes)
        pairs = zip(bodies[first].tolist(), sizes[first].tolist(), strict=True)
        codes = self.attributes.codes([(body_of[b], sizes_of[s]) for b, s in pairs])
        return codes[local], self.attributes.reasons(codes)[local]

    def is_crowded(self, capacity: int) -> bool:
        every = (self.resources, self._scopes, self.streams, self.attributes)
        return (
            len(self.resources) >= 1 << (_RESOURCE_BITS - 1)
            or len(self.streams) >= 1 << (_STREAM_BITS - 1)
            or len(self.attributes) > capacity
            or sum(part.bytes for part in every) > _MAX_BYTES
        )

    def keys(self, points: Points, metrics: Metrics) -> Ids:
        """For each point the numbers of its parts in one.

        Raises:
            OddMessageError: a number is too large for that.
        """
        if not self._fit_in_a_key():
            raise OddMessageError("more different parts than a key can tell apart")
        source = (metrics.groups.resource[metrics.group] << _STREAM_BITS) | metrics.stream
        packed = (source[points.of_metric] << _ATTRIBUTES_BITS) | points.attributes
        keys: Ids = packed.astype(np.uint64)
        return keys

    def source_of(self, metrics: Metrics, row: int) -> tuple[Entity, Stream]:
        """What the points of one metric are of."""
        resource = metrics.groups.resource[metrics.group[row]]
        return self.resources.values[resource].entity, self.streams.values[metrics.stream[row]]

    def _fit_in_a_key(self) -> bool:
        return (
            len(self.resources) <= 1 << _RESOURCE_BITS
            and len(self.streams) <= 1 << _STREAM_BITS
            and len(self.attributes) <= 1 << _ATTRIBUTES_BITS
        )

    def _stream_codes(self, rows: pa.StructArray, scope: Codes) -> Codes:
        flags = _flags(rows)
        texts = [encode(rows.field(name)) for name in ("name", "unit", "description")]
        codes, first = combine(*(column for column, _ in texts), scope, flags)
        keys = [
            (int(scope[row]), *(names[column[row]] for column, names in texts), int(flags[row]))
            for row in first.tolist()
        ]
        return self.streams.codes(keys)[codes]

    def _read_resource(self, body: bytes) -> tuple[Source, int]:
        attributes = read_attributes(
            Resource.FromString(body).attributes, self._limits.max_attributes
        )
        reason = attributes_reason(attributes, self._limits)
        return Source(entity_of(attributes), attributes), REASON_CODES[reason]

    def _read_stream(self, key: _StreamKey) -> tuple[Stream, int]:
        code, name, unit, description, flags = key
        scope = self._scopes.values[code]
        stream = Stream(
            metric=name,
            unit=unit,
            kind=KINDS[flags // 6],
            temporality=TEMPORALITIES.get(flags // 2 % 3, "unspecified"),
            monotonic=bool(flags % 2),
            description=description,
            scope=scope.name,
            scope_attributes=read_attributes(scope.attributes, self._limits.max_attributes),
        )
        return stream, REASON_CODES[stream_reason(stream, self._limits)]

    def _read_attributes(self, key: _AttributesKey) -> tuple[Attributes, int]:
        body, sizes = key
        sent = len(sizes) // np.dtype(np.int32).itemsize
        if sent > self._limits.max_attributes:  # a few bytes each: reading costs a hundred times
            return Attributes(sent=sent), REASON_CODES[Reason.TOO_MANY_ATTRIBUTES]
        ends = np.cumsum(np.frombuffer(sizes, np.int32)).tolist()
        starts = [0, *ends][:-1]
        pairs = [KeyValue.FromString(body[a:b]) for a, b in zip(starts, ends, strict=True)]
        attributes = read_attributes(pairs, sent)
        return attributes, REASON_CODES[attributes_reason(attributes, self._limits)]


def _read_scope(body: bytes) -> tuple[Any, int]:
    return InstrumentationScope.FromString(body), 0


def _flags(rows: pa.StructArray) -> Codes:
    """Each metric's kind, temporality and monotonicity in one number; without data it is 0, and
    no point asks."""
    kinds = np.zeros(len(rows), np.int64)
    flags = np.zeros(len(rows), np.int64)
    for code, name in enumerate(KINDS):
        data = rows.field(name)
        if data.null_count == len(rows):
            continue
        present = np.asarray(data.is_valid())
        kinds += present
        flags[present] = code * 6
        if data.type.get_field_index("aggregation_temporality") >= 0:
            sent = np.asarray(data.field("aggregation_temporality"))
            flags += np.where(present & ((sent == 1) | (sent == 2)), sent, 0) * 2
        if data.type.get_field_index("is_monotonic") >= 0:
            flags += present & np.asarray(data.field("is_monotonic").to_numpy(zero_copy_only=False))
    if (kinds > 1).any():
        raise OddMessageError("a metric of two kinds: the last one counts")
    return flags
