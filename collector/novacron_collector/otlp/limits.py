"""What a point must be like to be stored, and the reasons why one is not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from novacron_collector.otlp.attributes import Attributes
from novacron_collector.otlp.identity import Stream
from novacron_contract.settings import setting


class Reason(StrEnum):
    """A point is counted under the first that holds; its neighbours are stored."""

    NO_NAME = "the metric has no name"
    LONG_NAME = "the name of the metric, unit or scope is too long"
    TOO_MANY_ATTRIBUTES = "too many attributes"
    LONG_ATTRIBUTE = "an attribute is too long"
    DEEP_ATTRIBUTE = "an attribute is nested too deeply"
    NO_TIME = "no timestamp"
    TOO_NEW = "timestamp too far in the future"
    TOO_OLD = "older than what is kept"
    NO_VALUE = "no value"
    INFINITE = "infinite value"
    BAD_BUCKETS = "buckets and bounds do not fit together, or are too many"
    ENTITY_FULL = "new series of an entity that has limits.points.max_series_per_entity of them"
    METRIC_FULL = "new series of a metric that has limits.points.max_series_per_metric of them"
    STORE_FULL = "new series beyond limits.series"


@dataclass(frozen=True, kw_only=True)
class PointLimits:
    """The table [limits.points]."""

    max_name_bytes: int = setting(256, minimum=1, maximum=4096)
    max_attributes: int = setting(128, minimum=1, maximum=1024)
    max_key_bytes: int = setting(256, minimum=1, maximum=4096)
    max_value_bytes: int = setting(4096, minimum=1, maximum=65536)
    max_depth: int = setting(8, minimum=1, maximum=32)
    max_buckets: int = setting(1024, minimum=1, maximum=16384)
    max_series_per_entity: int = setting(20_000, minimum=1)
    max_series_per_metric: int = setting(500_000, minimum=1)
    series_idle: float = setting("12h", unit="s", minimum=60, maximum=30 * 86400)
    max_ahead: float = setting("10m", unit="s", minimum=1, maximum=86400)


@dataclass(frozen=True, slots=True)
class Window:
    """The times a point may have, in unix milliseconds, both ends included."""

    oldest: int
    newest: int

    def reason(self, ts: int) -> Reason | None:
        if ts <= 0:
            return Reason.NO_TIME
        if ts > self.newest:
            return Reason.TOO_NEW
        return Reason.TOO_OLD if ts < self.oldest else None


def stream_reason(stream: Stream, limits: PointLimits) -> Reason | None:
    if not stream.metric:
        return Reason.NO_NAME
    names = (stream.metric, stream.unit, stream.scope)
    if any(len(name.encode()) > limits.max_name_bytes for name in names):
        return Reason.LONG_NAME
    return attributes_reason(stream.scope_attributes, limits)


def attributes_reason(attributes: Attributes, limits: PointLimits) -> Reason | None:
    if attributes.sent > limits.max_attributes:
        return Reason.TOO_MANY_ATTRIBUTES
    for key, text in attributes.texts:
        if len(key.encode()) > limits.max_key_bytes or len(text.encode()) > limits.max_value_bytes:
            return Reason.LONG_ATTRIBUTE
    return Reason.DEEP_ATTRIBUTE if attributes.depth > limits.max_depth else None
