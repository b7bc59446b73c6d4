"""A series' labels as OTLP: `job` and `instance` make the resource, the others attributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint, ResourceMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from novacron_collector.otlp.limits import Reason
from novacron_collector.prometheus.messages import Label
from novacron_collector.prometheus.names import is_counter
from novacron_collector.prometheus.output import GAUGE, HISTOGRAM, SUM, Kind
from novacron_collector.prometheus.refusals import Refusal, RefusedError

_NAME = "__name__"
_NOT_ATTRIBUTES = {_NAME, "job", "instance"}


@dataclass(frozen=True, slots=True)
class Identity:
    """`resource`: a ResourceMetrics with its resource alone. `attributes`: a NumberDataPoint with
    its attributes alone. Both serialized: protobuf messages are completed by appending."""

    name: str
    kind: Kind  # of its samples
    resource: bytes
    attributes: bytes

    def start_of(self, kind: Kind) -> bytes:
        """A point of this kind with its attributes alone."""
        if kind is not HISTOGRAM:
            return self.attributes
        pairs = NumberDataPoint.FromString(self.attributes).attributes
        start: bytes = kind.point(attributes=pairs).SerializeToString()
        return start


def identity(labels: Sequence[bytes], max_labels: int) -> Identity:
    """
    Raises:
        RefusedError: by these labels nothing can be stored.
        DecodeError: they are no labels.
    """
    if len(labels) > max_labels:
        raise RefusedError(Reason.TOO_MANY_ATTRIBUTES)
    texts: dict[str, str] = {}
    for label, value in read_labels(labels):
        if not label:
            raise RefusedError(Refusal.NAMELESS_LABEL)
        if label in texts:
            raise RefusedError(Refusal.LABEL_TWICE)
        texts[label] = value
    resource = Resource(attributes=key_values(_resource(texts)))
    others = (pair for pair in sorted(texts.items()) if pair[0] not in _NOT_ATTRIBUTES)
    name = texts.get(_NAME, "")
    return Identity(
        name=name,
        kind=SUM if is_counter(name) else GAUGE,
        resource=ResourceMetrics(resource=resource).SerializeToString(),
        # To Prometheus a label without a value is no label.
        attributes=NumberDataPoint(
            attributes=key_values(pair for pair in others if pair[1])
        ).SerializeToString(),
    )


def read_labels(labels: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """
    Raises:
        RefusedError: one is not UTF-8.
        DecodeError: one is no label.
    """
    for body in labels:
        label = Label.FromString(body)
        try:
            yield label.name.decode(), label.value.decode()
        except UnicodeDecodeError as err:
            raise RefusedError(Refusal.NOT_UTF8) from err


def key_values(pairs: Iterable[tuple[str, str]]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in pairs]


def _resource(texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    job, instance = texts.get("job", ""), texts.get("instance", "")
    namespace, _, name = job.partition("/")
    if namespace and name:
        yield "service.namespace", namespace
        yield "service.name", name
    elif job:
        yield "service.name", job
    if instance:
        yield "service.instance.id", instance
