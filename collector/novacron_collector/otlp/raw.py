"""OTLP from the wire to Arrow columns, without a Python loop over points.

A point's attributes stay bytes. Each part of its identity (resource, scope and metric, attributes)
is replaced by a number; only parts whose bytes were never seen are decoded, and the numbers of the
three, packed into 64 bits, look the series up. What Python does once per distinct part, and not
per point, costs little: a fleet's points share their parts. Exemplars, which are few, are read one
by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar

from novacron_collector.otlp import values
from novacron_collector.otlp.catalog import Catalog, to_table
from novacron_collector.otlp.columns import Codes, Ids, Names, named, parents, timestamps
from novacron_collector.otlp.decoded import Decoded, Outcome, Sighting
from novacron_collector.otlp.filling import Filled
from novacron_collector.otlp.forms import Forms, Placed, Reading
from novacron_collector.otlp.known import Found, KnownSeries
from novacron_collector.otlp.limits import PointLimits, Reason, Window
from novacron_collector.otlp.overflow import Overflow, TurnedAway
from novacron_collector.otlp.parts import KINDS, Metrics, Parts, Points, Source
from novacron_collector.otlp.plain import TABLES, exemplar_row
from novacron_collector.otlp.quota import SeriesQuota
from novacron_collector.otlp.values import REASON_CODES, first_reason
from novacron_collector.otlp.wire import WireReader
from novacron_contract.errors import BadMessage, TooLarge
from novacron_store.telemetry.batch import SCHEMAS, Batch

_REASONS = {code: reason for reason, code in REASON_CODES.items() if isinstance(reason, Reason)}
_REASON_SPAN = 32  # more than there are reasons
_MAX_EXEMPLARS = 100_000  # decoded at a time: they are read one by one
_EXEMPLAR_BYTES = 18  # of the shortest that can be stored: a time and a value


class _Write:
    """What the decoding of some requests has found so far."""

    def __init__(self, requests: int) -> None:
        self.outcomes = [Outcome() for _ in range(requests)]
        self.tables: dict[str, list[pa.Table]] = {}

    def count(self, requests: Codes, reasons: Codes) -> None:
        """Add points to their requests' outcomes."""
        counts = np.bincount(requests * _REASON_SPAN + reasons)
        for at in np.flatnonzero(counts).tolist():
            request, reason = divmod(at, _REASON_SPAN)
            count, outcome = int(counts[at]), self.outcomes[request]
            if reason:
                outcome.rejected[_REASONS[reason]] += count
            else:
                self.outcomes[request] = replace(outcome, points=outcome.points + count)

    def count_rounded(self, requests: Codes) -> None:
        for request, count in zip(*np.unique(requests, return_counts=True), strict=True):
            outcome = self.outcomes[request]
            self.outcomes[request] = replace(outcome, rounded=outcome.rounded + int(count))

    def add(self, name: str, columns: Sequence[pa.Array]) -> None:
        schema = SCHEMAS[name]
        typed = [array.cast(f.type) for array, f in zip(columns, schema, strict=True)]
        self.tables.setdefault(name, []).append(pa.table(typed, schema=schema))

    def batch(self) -> Batch:
        whole = {name: pa.concat_tables(parts) for name, parts in self.tables.items() if parts}
        return Batch({name: table.unify_dictionaries() for name, table in whole.items()})


class _Read:
    """Requests that were read column by column, and what is known of their metrics."""

    def __init__(self, parts: Parts, metrics: Metrics) -> None:
        self._parts = parts
        self.metrics = metrics
        self.turned_away: Counter[TurnedAway] = Counter()
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

    def requests(self, of_metric: Codes) -> Codes:
        return self.metrics.groups.request[self.metrics.group[of_metric]]

    def turn_away(self, of_metric: Codes, reasons: Codes) -> None:
        """Remember whose points had no place."""
        counts = np.bincount(of_metric * _REASON_SPAN + reasons)
        for at in np.flatnonzero(counts).tolist():
            metric, reason = divmod(at, _REASON_SPAN)
            if reason:
                entity, stream = self._parts.source_of(self.metrics, metric)
                turned = TurnedAway(_REASONS[reason], entity, stream.metric)
                self.turned_away[turned] += int(counts[at])


class RawDecoder:
    """Remembers what it has read, up to `capacity` series; serves one thread."""

    def __init__(
        self,
        limits: PointLimits,
        catalog: Catalog,
        quota: SeriesQuota,
        overflow: Overflow,
        *,
        capacity: int,
    ) -> None:
        self._limits = limits
        self._catalog = catalog
        self._overflow = overflow
        self._known = KnownSeries(catalog, quota)
        self._capacity = capacity
        self._wire = WireReader()
        self._forms = Forms()
        self.forget()

    def forget(self) -> None:
        self._parts = Parts(self._limits)
        self._known.forget()
        self._forms.forget()

    def decode(
        self,
        bodies: Sequence[bytes],
        window: Window,
        now: int,
        proven: Sequence[bool] | None = None,
    ) -> Decoded:
        """Decode OTLP requests; `now` in unix milliseconds; `proven`: see Catalog.begin.

        Raises:
            BadMessage: a body is not OTLP.
            TooLarge: there is too much in one.
            OddMessageError: valid, but the plain decoder must read it.
        """
        if len(self._known) > self._capacity or self._parts.is_crowded(self._capacity):
            self.forget()
        if self._known.advance(now):
            self._forms.forget()
        self._catalog.begin(len(bodies), proven)
        reading = self._forms.read(bodies)
        write = _Write(len(bodies))
        if any(reading.rest) or not reading.filled:
            self._read(reading, window, now, write)
        for filled in reading.filled:
            self._fill_in(filled, window, write)
        descriptions, sightings = self._catalog.take()
        batch = Batch(write.batch().tables | descriptions)
        return Decoded(batch, write.outcomes, sightings)

    # -- what was read before ----------------------------------------------------------------------

    def _fill_in(self, filled: Filled, window: Window, write: _Write) -> None:
        infinite = np.isinf(filled.value) * REASON_CODES[Reason.INFINITE]
        reasons = first_reason(values.time_reasons(filled.ts, window), infinite)
        write.count(filled.requests[filled.source], reasons)
        stored = filled.where(reasons == 0)
        if stored.rounded.any():
            write.count_rounded(stored.requests[stored.source[stored.rounded]])
        self._see_sources(stored)
        if len(stored.ts):
            write.tables.setdefault("arrivals", []).append(self._rows(stored))

    def _rows(self, stored: Filled) -> pa.Table:
        """A row for what follows one another and is of one source and time."""
        other = (stored.source[1:] != stored.source[:-1]) | (stored.ts[1:] != stored.ts[:-1])
        first = np.concatenate(([0], np.flatnonzero(other) + 1))
        names = named(stored.metric, lambda codes: [self._forms.names[code] for code in codes])
        entities = named(
            stored.source[first],
            lambda codes: [stored.sources[code].entity.name for code in codes],
        )
        start = np.where(stored.start <= stored.ts, stored.start, 0)
        offsets = pa.array(np.append(first, len(stored.ts)).astype(np.int32))
        lists = [names.every(), pa.array(stored.series), timestamps(start), pa.array(stored.value)]
        columns = [
            entities.every(),
            timestamps(stored.ts[first]),
            *(pa.ListArray.from_arrays(offsets, values) for values in lists),
        ]
        return pa.table(columns, schema=SCHEMAS["arrivals"])

    def _see_sources(self, stored: Filled) -> None:
        starts = np.flatnonzero(np.diff(stored.source, prepend=-1))  # points are in their order
        if not len(starts):
            return
        newest, seen = np.maximum.reduceat(stored.ts, starts), stored.source[starts]
        sources = [stored.sources[at] for at in seen.tolist()]
        self._saw(sources, stored.requests[seen], newest)

    # -- what is read column by column -------------------------------------------------------------

    def _read(self, reading: Reading, window: Window, now: int, write: _Write) -> None:
        metrics = self._parts.metrics(self._wire.read(reading.rest))
        read = _Read(self._parts, metrics)
        every = [self._points(kind, metrics) for kind in KINDS]
        fit = [self._fit(points, window, read, write) for points in every if points is not None]
        known = self._known.find(fit, self._parts, metrics, now)
        stored = [
            self._admitted(points, found, read, write)
            for points, found in zip(fit, known, strict=True)
        ]
        for points, series in stored:
            self._add_tables(points, series, window, read, write)
        self._overflow.count(read.turned_away)
        self._see(read)
        self._learn(reading, read, stored)

    def _points(self, kind: str, metrics: Metrics) -> Points | None:
        lists = metrics.rows.field(kind).field("data_points")
        rows = lists.flatten()
        if not len(rows):
            return None
        if kind != "summary" and len(rows.field("exemplars").flatten()) > _MAX_EXEMPLARS:
            raise TooLarge(f"more than {_MAX_EXEMPLARS} exemplars in one request")
        codes, reasons = self._parts.attribute_codes(rows.field("attributes"))
        ts = values.millis(rows, "time_unix_nano")
        return Points(kind, rows, parents(lists), codes, reasons, ts)

    def _fit(self, points: Points, window: Window, read: _Read, write: _Write) -> Points:
        """The points that are as they must be; the others are counted for their request."""
        reasons = first_reason(
            read.reasons[points.of_metric],
            points.attributes_reason,
            values.time_reasons(points.ts, window),
            values.value_reasons(points.kind, points.rows, self._limits.max_buckets),
        )
        bad = reasons > 0
        write.count(read.requests(points.of_metric[bad]), reasons[bad])
        return points.where(~bad)

    def _admitted(
        self, points: Points, found: Found, read: _Read, write: _Write
    ) -> tuple[Points, Ids]:
        """The points whose series have a place, and their series."""
        write.count(read.requests(points.of_metric), found.reasons)
        if not found.reasons.any():
            return points, found.series
        read.turn_away(points.of_metric, found.reasons)
        stays = found.reasons == 0
        return points.where(stays), found.series[stays]

    def _add_tables(
        self, points: Points, series: Ids, window: Window, read: _Read, write: _Write
    ) -> None:
        group = read.metrics.group[points.of_metric]
        np.maximum.at(read.newest, group, points.ts)
        key = [read.names.at(points.of_metric), read.entities.at(group), pa.array(series)]
        lossy = values.rounded(points.kind, points.rows)
        if lossy is not None:
            write.count_rounded(read.requests(points.of_metric[lossy]))
        start = values.millis(points.rows, "start_time_unix_nano")
        times = [timestamps(points.ts), timestamps(np.where(start <= points.ts, start, 0))]
        write.add(TABLES[points.kind], [*key, *times, *values.columns(points.kind, points.rows)])
        if points.kind != "summary":
            write.tables.setdefault("exemplars", []).extend(self._exemplars(points, key, window))

    def _see(self, read: _Read) -> None:
        groups, seen = read.metrics.groups, read.newest > 0
        sources = [self._parts.resources.values[code] for code in groups.resource[seen].tolist()]
        self._saw(sources, groups.request[seen], read.newest[seen])

    def _saw(self, sources: Sequence[Source], requests: Codes, newest: Codes) -> None:
        entities = [source.entity for source in sources]
        resources = [source.resource for source in sources]
        columns = (requests.tolist(), entities, resources, newest.tolist())
        self._catalog.see(map(Sighting._make, zip(*columns, strict=True)))

    def _learn(self, reading: Reading, read: _Read, stored: list[tuple[Points, Ids]]) -> None:
        """Keep what was read, so that next time only its blanks are."""
        numbers = [_Numbers(*one, read) for one in stored if one[0].kind in ("gauge", "sum")]
        groups = read.metrics.groups
        ends = np.searchsorted(groups.request, np.arange(len(reading.rest)), side="right").tolist()
        for end, pieces in zip(ends, reading.unknown, strict=True):
            for group, piece in enumerate(pieces or (), end - len(pieces or ())):
                source = self._parts.resources.values[groups.resource[group]]
                self._forms.learn(reading.data, piece, partial(_placed, source, numbers, group))

    def _exemplars(self, points: Points, key: list[pa.Array], window: Window) -> list[pa.Table]:
        lists = points.rows.field("exemplars")
        bodies = lists.flatten()
        whole = pc.greater_equal(pc.binary_length(bodies), _EXEMPLAR_BYTES)
        of_point = pa.array(parents(lists)).filter(whole).to_pylist()
        rows = []
        for point, body in zip(of_point, bodies.filter(whole).to_pylist(), strict=True):
            row = exemplar_row(_read_exemplar(body), window, self._limits)
            if row is not None:
                rows.append((*(column[point].as_py() for column in key), *row))
        return [to_table("exemplars", rows)] if rows else []


class _Numbers:
    """Points of gauges or of sums that are stored, by the ResourceMetrics they are of."""

    def __init__(self, points: Points, series: Ids, read: _Read) -> None:
        of_group = read.metrics.group[points.of_metric]
        self._ends = np.searchsorted(
            of_group, np.arange(-1, len(read.newest)), side="right"
        ).tolist()
        self._names = read.names
        self._of_metric = points.of_metric
        self._series = series

    def of(self, group: int) -> tuple[Ids, list[str]]:
        some = slice(self._ends[group], self._ends[group + 1])
        return self._series[some], self._names.at(self._of_metric[some]).to_pylist()


def _placed(source: Source, numbers: list[_Numbers], group: int) -> Placed:
    each = [some.of(group) for some in numbers]
    series = np.concatenate([ids for ids, _ in each]) if each else np.zeros(0, np.uint64)
    return Placed(source, series, [name for _, names in each for name in names])


def _read_exemplar(body: bytes) -> Any:
    try:
        return Exemplar.FromString(body)
    except DecodeError as err:
        raise BadMessage(f"not an OTLP metrics request: {err}") from err
