"""Arbitrary valid OTLP: as messages, and as the many ways one message may look on the wire."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from google.protobuf.internal.encoder import TagBytes, _VarintBytes
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from noon import NOON

NOW_S = NOON - 41_600.0  # what these tests call now
NOW_NS = int(NOW_S) * 10**9

# Few different names, so that equal series, equal prefixes and colliding joins are frequent.
_KEYS = st.sampled_from(["", "a", "b", "ab", "vm.id", "host.id", "service.name", "host.name"])
# What is rejected is rare, as one such part rejects every point below it.
_TEXTS = st.sampled_from([*6 * ["", "a", "b", "ab", "ba", "\0", "ü"], "x" * 5000])
_NAMES = st.sampled_from([*6 * ["cpu", "mem"], "", "n" * 300])
_UNITS = st.sampled_from(["", "s", "By"])
_FINITE = [0.0, -0.0, 1.5, -7.25, 1e300, 5e-324, float("nan")]
_FLOATS = st.sampled_from(_FINITE)
_ANY_FLOATS = st.sampled_from([*4 * _FINITE, float("inf"), float("-inf")])
_INTS = st.sampled_from([0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)])
_COUNTS = st.integers(0, 2**64 - 1)
_MINUTE = 60 * 10**9
_TIMES = st.sampled_from(
    [
        *(NOW_NS - ago for ago in 3 * (0, 1, 15 * 10**9, -5 * _MINUTE)),
        *(0, 1, 999_999, NOW_NS + 11 * _MINUTE, NOW_NS - 8 * 24 * 60 * _MINUTE, 2**64 - 1),
    ]
)


def values() -> st.SearchStrategy[AnyValue]:
    scalars = st.one_of(
        st.builds(AnyValue, string_value=_TEXTS),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=_INTS),
        st.builds(AnyValue, double_value=_ANY_FLOATS),
        st.builds(AnyValue, bytes_value=st.sampled_from([b"", b"a", b"\xff\0"])),
        st.just(AnyValue()),
    )
    return st.recursive(scalars, _nested, max_leaves=4)


def _nested(inner: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[AnyValue]:
    arrays = st.builds(ArrayValue, values=st.lists(inner, max_size=3))
    pairs = st.builds(KeyValue, key=_KEYS, value=inner)
    lists = st.builds(KeyValueList, values=st.lists(pairs, max_size=3))
    return st.builds(AnyValue, array_value=arrays) | st.builds(AnyValue, kvlist_value=lists)


def attributes(max_size: int = 3) -> st.SearchStrategy[list[KeyValue]]:
    return st.lists(st.builds(KeyValue, key=_KEYS, value=values()), max_size=max_size)


def _point(message: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        message,
        attributes=attributes(),
        time_unix_nano=_TIMES,
        start_time_unix_nano=_TIMES,
        flags=st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3]),
        **fields,
    )


def _optional(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def _with(message: Any, point: Any, extra: dict[str, Any]) -> Any:
    whole = message(**extra)
    whole.MergeFrom(point)
    return whole


def _numbers() -> st.SearchStrategy[dict[str, Any]]:
    double, integer = _optional({"as_double": _ANY_FLOATS}), _optional({"as_int": _INTS})
    return double | integer


def exemplars() -> st.SearchStrategy[list[otlp.Exemplar]]:
    number = _numbers()
    plain = st.builds(
        otlp.Exemplar,
        filtered_attributes=attributes(),
        time_unix_nano=_TIMES,
        trace_id=st.sampled_from([b"", bytes(range(16))]),
        span_id=st.sampled_from([b"", bytes(range(8))]),
    )
    one = st.builds(lambda e, n: _with(otlp.Exemplar, e, n), plain, number)
    return st.lists(one, max_size=2)


def number_points() -> st.SearchStrategy[Any]:
    number = _numbers()
    point = _point(otlp.NumberDataPoint, exemplars=exemplars())
    return st.builds(lambda p, n: _with(otlp.NumberDataPoint, p, n), point, number)


def histogram_points() -> st.SearchStrategy[Any]:
    point = _point(otlp.HistogramDataPoint, count=_COUNTS, exemplars=exemplars())
    fitting = st.integers(0, 3).flatmap(_fitting_buckets)
    any_buckets = st.fixed_dictionaries(
        {
            "explicit_bounds": st.lists(_ANY_FLOATS, max_size=3),
            "bucket_counts": st.lists(_COUNTS, max_size=4),
        }
    )
    floats = _optional({"sum": _ANY_FLOATS, "min": _ANY_FLOATS, "max": _ANY_FLOATS})
    return st.builds(
        lambda p, b, f: _with(otlp.HistogramDataPoint, p, {**b, **f}),
        point,
        fitting | any_buckets,
        floats,
    )


def _fitting_buckets(bounds: int) -> st.SearchStrategy[dict[str, Any]]:
    counts = st.lists(_COUNTS, min_size=bounds + 1, max_size=bounds + 1)
    rising = [float(bound) for bound in range(bounds)]
    return st.fixed_dictionaries({"explicit_bounds": st.just(rising), "bucket_counts": counts})


def exponential_points() -> st.SearchStrategy[Any]:
    message = otlp.ExponentialHistogramDataPoint
    side = st.builds(
        message.Buckets, offset=st.integers(-5, 5), bucket_counts=st.lists(_COUNTS, max_size=3)
    )
    point = _point(
        message,
        count=_COUNTS,
        scale=st.integers(-10, 20),
        zero_count=_COUNTS,
        zero_threshold=_ANY_FLOATS,
        exemplars=exemplars(),
    )
    floats = {"sum": _ANY_FLOATS, "min": _ANY_FLOATS, "max": _ANY_FLOATS}
    extra = _optional(floats | {"positive": side, "negative": side})
    return st.builds(lambda p, e: _with(message, p, e), point, extra)


def summary_points() -> st.SearchStrategy[Any]:
    at = st.builds(otlp.SummaryDataPoint.ValueAtQuantile, quantile=_FLOATS, value=_ANY_FLOATS)
    return _point(
        otlp.SummaryDataPoint,
        count=_COUNTS,
        sum=_ANY_FLOATS,
        quantile_values=st.lists(at, max_size=3),
    )


def metrics() -> st.SearchStrategy[Any]:
    temporality = {"aggregation_temporality": st.sampled_from([0, 1, 2, 7])}
    data = st.one_of(
        st.builds(dict, gauge=_data(otlp.Gauge, number_points())),
        st.builds(
            dict, sum=_data(otlp.Sum, number_points(), is_monotonic=st.booleans(), **temporality)
        ),
        st.builds(dict, histogram=_data(otlp.Histogram, histogram_points(), **temporality)),
        st.builds(
            dict,
            exponential_histogram=_data(
                otlp.ExponentialHistogram, exponential_points(), **temporality
            ),
        ),
        st.builds(dict, summary=_data(otlp.Summary, summary_points())),
        st.just({}),
    )
    head = st.builds(otlp.Metric, name=_NAMES, unit=_UNITS, description=_TEXTS)
    return st.builds(lambda m, d: _with(otlp.Metric, m, d), head, data)


def _data(message: Any, points: Any, **fields: Any) -> st.SearchStrategy[Any]:
    return st.builds(message, data_points=st.lists(points, max_size=4), **fields)


def requests() -> st.SearchStrategy[Any]:
    scope = st.builds(InstrumentationScope, name=_TEXTS, version=_TEXTS, attributes=attributes())
    scoped = st.builds(otlp.ScopeMetrics, scope=scope, metrics=st.lists(metrics(), max_size=3))
    resource = st.builds(Resource, attributes=attributes())
    group = st.builds(
        otlp.ResourceMetrics, resource=resource, scope_metrics=st.lists(scoped, max_size=2)
    )
    return st.builds(otlp.MetricsData, resource_metrics=st.lists(group, max_size=2))


def scrambled(message: Any, dice: random.Random, extra: Callable[[Any], bytes]) -> bytes:
    """`message` as another encoder might write it.

    Fields in any order, messages in parts, unknown fields between; `extra(message)` goes last.
    """
    columns = [_field(message, field, value, dice, extra) for field, value in message.ListFields()]
    columns.append(dice.choice([[], [_unknown(dice)]]))
    parts = []
    while columns := [column for column in columns if column]:
        parts.append(dice.choice(columns).pop(0))
    return b"".join([*parts, extra(message)])


def _field(message: Any, field: Any, value: Any, dice: random.Random, extra: Any) -> list[bytes]:
    if field.message_type is None:
        alone = type(message)()
        if field.is_repeated:
            getattr(alone, field.name).extend(value)
        else:
            setattr(alone, field.name, value)
        return [alone.SerializeToString()]
    items = value if field.is_repeated else [value]
    bodies = [scrambled(item, dice, extra) for item in items]
    if field.message_type is KeyValue.DESCRIPTOR and len(bodies) > 1 and dice.random() < 0.2:
        bodies[:2] = [bodies[0] + bodies[1]]  # one attribute with the bytes of two
    if not field.is_repeated and dice.random() < 0.3:
        bodies.insert(dice.randrange(2), b"")  # an empty part of a message in two parts
    tag = TagBytes(field.number, 2)
    return [tag + _VarintBytes(len(body)) + body for body in bodies]


def _unknown(dice: random.Random) -> bytes:
    number = dice.choice([100, 1000, 2**29 - 1])
    body = dice.choice([b"", b"\n\0", b"junk"])
    text: bytes = TagBytes(number, 2) + _VarintBytes(len(body)) + body
    return text if dice.random() < 0.5 else bytes(TagBytes(number, 0)) + b"\x05"
