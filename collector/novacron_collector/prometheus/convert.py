"""Remote-write requests as OTLP requests.

`job` and `instance` become the resource's service.name (with service.namespace where the job is
NAMESPACE/NAME) and service.instance.id, `__name__` the metric's name, every other label an
attribute of the point. The name alone decides on kind and unit (see `names`). Prometheus' stale
marker becomes a point with the flag no_recorded_value; native histograms become exponential ones.

An exemplar needs a point to be sent with. Prometheus may send it in a later request than its
sample; then that sample is sent once more with it, which stores nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from novacron_collector.otlp.limits import PointLimits, Reason
from novacron_collector.prometheus.histograms import exponential_point
from novacron_collector.prometheus.labels import Identity, identity, key_values, read_labels
from novacron_collector.prometheus.messages import (
    Exemplar,
    MetricMetadata,
    TimeSeries,
    WriteRequest,
)
from novacron_collector.prometheus.names import Descriptions
from novacron_collector.prometheus.output import (
    GAUGE,
    HISTOGRAM,
    Kind,
    Output,
    end_point,
    value_point,
)
from novacron_collector.prometheus.refusals import Refusal, RefusedError
from novacron_collector.prometheus.times import is_stale, nanoseconds
from novacron_contract.errors import BadMessage, TooLarge

_MAX_SERIES = 200_000  # in one request; Prometheus sends 500 to 2,000
_MAX_PARTS = 1_000_000  # samples, histograms and exemplars in one request
_BYTES_PER_SERIES, _BYTES_PER_LABEL = 600, 80  # what Python objects cost, about
_MAX_FAMILIES = 20_000
_NOT_ATTRIBUTES = 3  # labels: the name, job, instance


@dataclass(frozen=True, slots=True)
class Converted:
    """`body`: an OTLP request, empty where nothing is to be stored. `rejected`: of what came,
    samples, histograms and exemplars that are not in it."""

    body: bytes
    rejected: Counter[StrEnum]


@dataclass(slots=True)
class _Series:
    """What is remembered of a series; `last`: its newest point without attributes,
    and of which `kind` it is."""

    identity: Identity
    last: bytes = b""
    kind: Kind = GAUGE


@dataclass(slots=True)
class _Request:
    output: Output
    parts: int = 0  # samples, histograms and exemplars so far
    rejected: Counter[StrEnum] = field(default_factory=Counter)


class Converter:
    """Makes OTLP requests of at most about `max_bytes`; serves one thread.

    Remembers the series it has read, in about `remembered` bytes; beyond it they are read again.
    """

    def __init__(self, limits: PointLimits, max_bytes: int, remembered: int = 64 * 2**20) -> None:
        self._limits = limits
        self._max_bytes = max_bytes
        self._remembered = remembered
        self._descriptions = Descriptions(_MAX_FAMILIES)
        self._series: dict[tuple[bytes, ...], _Series] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._series)

    def convert(self, body: bytes) -> Converted:
        """
        Raises:
            BadMessage: it is no WriteRequest.
            TooLarge: it has too many series, or is too large as OTLP.
        """
        request = _Request(Output(self._max_bytes))
        try:
            sent = WriteRequest.FromString(body)
            if max(len(sent.timeseries), len(sent.metadata)) > _MAX_SERIES:
                raise TooLarge(f"more than {_MAX_SERIES} series in one request: send fewer")
            self._describe(sent.metadata)
            for series in sent.timeseries:
                self._add(TimeSeries.FromString(series), request)
        except DecodeError as err:
            raise BadMessage(f"not a remote-write request: {err}") from err
        return Converted(request.output.serialized(self._descriptions), request.rejected)

    def _describe(self, metadata: Iterable[bytes]) -> None:
        for body in metadata:
            told = MetricMetadata.FromString(body)
            self._descriptions.add(
                told.metric_family_name.decode(errors="replace"),
                told.help.decode(errors="replace"),
            )

    def _add(self, sent: Any, request: _Request) -> None:
        count = len(sent.samples) + len(sent.histograms) + len(sent.exemplars)
        request.parts += count
        if request.parts > _MAX_PARTS:
            raise TooLarge(f"more than {_MAX_PARTS} samples in one request: send fewer")
        try:
            series = self._known(tuple(sent.labels))
        except RefusedError as err:
            request.rejected[err.reason] += count
            return
        known, add = series.identity, request.output.add
        held = b""  # the newest point, which the exemplars go with
        for kind, bare in self._points(sent, known.kind, request):
            if held:
                add(known.resource, known.name, series.kind, held)
            series.last, series.kind = bare, kind
            held = known.start_of(kind) + bare
        if sent.exemplars:
            held = self._with_exemplars(held, series, sent.exemplars, request)
        if held:
            add(known.resource, known.name, series.kind, held)

    def _points(self, sent: Any, kind: Kind, request: _Request) -> Iterator[tuple[Kind, bytes]]:
        """What there is of the series, without attributes; `kind` is that of its samples."""
        for sample in sent.samples:
            at, value = nanoseconds(sample.timestamp), sample.value
            yield kind, end_point(at) if is_stale(value) else value_point(at, value)
        for body in sent.histograms:
            try:
                point = exponential_point(body, self._limits.max_buckets)
            except RefusedError as err:
                request.rejected[err.reason] += 1
            else:
                yield HISTOGRAM, point.SerializeToString()

    def _with_exemplars(
        self, held: bytes, series: _Series, exemplars: Sequence[bytes], request: _Request
    ) -> bytes:
        if not series.last:
            request.rejected[Refusal.LONE_EXEMPLAR] += len(exemplars)
            return b""
        parts = [held or series.identity.start_of(series.kind) + series.last]
        for body in exemplars:
            try:
                exemplar = _exemplar(body, self._limits.max_attributes)
            except RefusedError as err:
                request.rejected[err.reason] += 1
            else:
                parts.append(series.kind.point(exemplars=[exemplar]).SerializeToString())
        return b"".join(parts)

    def _known(self, labels: tuple[bytes, ...]) -> _Series:
        """
        Raises:
            RefusedError: by these labels nothing can be stored.
            DecodeError: they are no labels.
        """
        found = self._series.get(labels)
        if found is None:
            found = _Series(identity(labels, self._limits.max_attributes + _NOT_ATTRIBUTES))
            self._bytes += _BYTES_PER_SERIES + sum(_BYTES_PER_LABEL + 3 * len(x) for x in labels)
            if self._bytes > self._remembered:
                self._series.clear()
                self._bytes = 0
            self._series[labels] = found
        return found


def _exemplar(body: bytes, max_labels: int) -> Any:
    """
    Raises:
        RefusedError: its labels cannot be stored.
        DecodeError: it is no exemplar.
    """
    sent = Exemplar.FromString(body)
    if len(sent.labels) > max_labels:
        raise RefusedError(Reason.TOO_MANY_ATTRIBUTES)
    texts = dict(read_labels(sent.labels))
    trace, span = _id(texts, "trace_id", 16), _id(texts, "span_id", 8)
    return otlp.Exemplar(
        time_unix_nano=nanoseconds(sent.timestamp),
        as_double=sent.value,
        filtered_attributes=key_values(texts.items()),
        trace_id=trace,
        span_id=span,
    )


def _id(texts: dict[str, str], label: str, size: int) -> bytes:
    """Taken out of `texts`, from hexadecimal; what is no id of `size` bytes stays a label."""
    text = texts.get(label, "")
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return b""
    if len(found) != size or len(text) != 2 * size:
        return b""
    del texts[label]
    return found
