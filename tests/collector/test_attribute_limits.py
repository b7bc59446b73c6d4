"""Attributes that are nested too deeply, or are too many: rejected, and their neighbours stored."""

from __future__ import annotations

import time

import pytest
from google.protobuf.internal.encoder import TagBytes, _VarintBytes
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from noon import NOON
from novacron_collector.otlp.decoded import Outcome
from novacron_collector.otlp.decoder import Decoder
from novacron_collector.otlp.limits import PointLimits, Reason

NOW_S = NOON - 41_600


def nested(depth: int, kind: str) -> AnyValue:
    value = AnyValue(string_value="x")
    for _ in range(depth):
        outer = AnyValue()
        if kind == "array":
            outer.array_value.values.append(value)
        else:
            outer.kvlist_value.values.append(KeyValue(key="k", value=value))
        value = outer
    return value


def request(*pairs: KeyValue) -> otlp.MetricsData:
    """A point with these attributes, and one without."""
    data = otlp.MetricsData()
    gauge = data.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge
    gauge.data_points.add(time_unix_nano=NOW_S * 10**9, as_int=1, attributes=pairs)
    gauge.data_points.add(time_unix_nano=NOW_S * 10**9, as_int=2)
    return data


def decode(body: bytes) -> Outcome:
    return Decoder(PointLimits(), 86400, 1000).decode([body], NOW_S).outcomes[0]


@pytest.mark.parametrize("kind", ["array", "kvlist"])
def test_a_value_may_be_nested_eight_deep_and_no_deeper(kind: str) -> None:
    fits, deep = (request(KeyValue(key="k", value=nested(n, kind))) for n in (8, 9))

    assert decode(fits.SerializeToString()) == Outcome(points=2)
    assert decode(deep.SerializeToString()).rejected == {Reason.DEEP_ATTRIBUTE: 1}


@pytest.mark.parametrize("kind", ["array", "kvlist"])
@pytest.mark.parametrize("depth", [60, 10_000])
def test_a_value_nested_deeper_than_protobuf_reads_is_no_request(kind: str, depth: int) -> None:
    body = b""
    for _ in range(depth):
        inner = bytes(TagBytes(1, 2) + _VarintBytes(len(body)) + body)
        if kind == "kvlist":
            inner = bytes(TagBytes(2, 2) + _VarintBytes(len(body)) + body)
            inner = bytes(TagBytes(1, 2) + _VarintBytes(len(inner)) + inner)
        number = 5 if kind == "array" else 6
        body = bytes(TagBytes(number, 2) + _VarintBytes(len(inner)) + inner)
    whole = request().SerializeToString()
    resource = b"".join(_wrapped(n, part) for n, part in ((1, b"k"), (2, body)))
    group = _wrapped(1, _wrapped(1, resource))
    hostile = _wrapped(1, group)

    decoded = Decoder(PointLimits(), 86400, 1000).decode([hostile, whole], NOW_S)

    assert "not an OTLP metrics request" in decoded.outcomes[0].error
    assert decoded.outcomes[1] == Outcome(points=2)


def _wrapped(number: int, body: bytes) -> bytes:
    return bytes(TagBytes(number, 2)) + bytes(_VarintBytes(len(body))) + body


def test_a_million_empty_attributes_cost_no_more_than_their_bytes() -> None:
    data = request()
    data.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points.pop(0)
    point = otlp.NumberDataPoint(time_unix_nano=NOW_S * 10**9, as_int=1).SerializeToString()
    hostile = _wrapped(1, point + b"\x3a\x00" * 1_000_000)
    gauge = _wrapped(1, b"m") + _wrapped(5, hostile)
    body = _wrapped(1, _wrapped(2, _wrapped(2, gauge)))

    began = time.process_time()
    outcome = decode(body)

    assert outcome.rejected == {Reason.TOO_MANY_ATTRIBUTES: 1}
    assert time.process_time() - began < 1, "each was read"
