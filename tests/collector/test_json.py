"""OTLP/JSON in the spellings senders use, and what is not OTLP/JSON."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from novacron_collector.otlp.json import to_protobuf
from novacron_contract.errors import BadMessage

NESTED = b'{"key": "k", "value": {"kvlistValue": {"values": [' * 60 + b"{}" + b"]}}}" * 60


def metric(fields: dict[str, Any], names: str = "camel") -> Any:
    keys = ("resourceMetrics", "scopeMetrics")
    if names == "snake":
        keys = ("resource_metrics", "scope_metrics")
    document = {keys[0]: [{keys[1]: [{"metrics": [fields]}]}]}
    data = MetricsData.FromString(to_protobuf(orjson.dumps(document)))
    return data.resource_metrics[0].scope_metrics[0].metrics[0]


@pytest.mark.parametrize("temporality", [2, "AGGREGATION_TEMPORALITY_CUMULATIVE"])
@pytest.mark.parametrize("integer", [9007199254740993, "9007199254740993"])
def test_enums_and_integers_come_in_both_spellings(temporality: Any, integer: Any) -> None:
    point = {"timeUnixNano": "1795480000000000001", "asInt": integer, "invented": {"later": 1}}

    read = metric(
        {"name": "m", "sum": {"aggregationTemporality": temporality, "dataPoints": [point]}}
    )

    assert read.sum.aggregation_temporality == 2
    assert read.sum.data_points[0].as_int == 9007199254740993
    assert read.sum.data_points[0].time_unix_nano == 1795480000000000001


def test_snake_case_is_read_as_well() -> None:
    point = {"time_unix_nano": 5, "as_double": "NaN", "exemplars": [{"trace_id": "00ff"}]}

    read = metric({"name": "m", "gauge": {"data_points": [point]}}, "snake")

    assert read.gauge.data_points[0].time_unix_nano == 5
    assert str(read.gauge.data_points[0].as_double) == "nan"
    assert read.gauge.data_points[0].exemplars[0].trace_id == b"\x00\xff"


def test_ids_are_hexadecimal_and_other_bytes_are_not() -> None:
    label = {"key": "b", "value": {"bytesValue": "/w=="}}
    exemplar = {"traceId": "AbCd", "spanId": "01", "filteredAttributes": [label]}

    read = metric({"name": "m", "gauge": {"dataPoints": [{"exemplars": [exemplar]}]}})

    (seen,) = read.gauge.data_points[0].exemplars
    assert (seen.trace_id, seen.span_id) == (b"\xab\xcd", b"\x01")
    assert seen.filtered_attributes[0].value.bytes_value == b"\xff"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b'{"resourceMetrics": [', "not JSON"),
        (b"null", "expected a JSON object"),
        (b'{"resourceMetrics": 3}', "resourceMetrics"),
        (b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": 7}]}]}]}', "name"),
        (b'{"traceId": "xyz"}', "traceId is not hexadecimal"),
        (b"[" * 100_000, "not JSON"),
        (b'{"resourceMetrics": [{"resource": {"attributes": [%s]}}]}' % NESTED, "too deep"),
        (b'{"resourceMetrics": [{"schemaUrl": %s}]}' % (b"9" * 5000), "not JSON"),
    ],
)
def test_what_is_not_otlp_is_said_in_one_short_sentence(body: bytes, says: str) -> None:
    with pytest.raises(BadMessage, match=says) as refused:
        to_protobuf(body)
    assert len(str(refused.value)) < 400


_KEYS = st.sampled_from(
    ["resourceMetrics", "scopeMetrics", "metrics", "gauge", "dataPoints", "attributes", "value"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(_JSON)
@settings(max_examples=200)
def test_any_json_is_read_or_refused(document: Any) -> None:
    try:
        body = orjson.dumps(document)
    except TypeError:  # an integer beyond 64 bits
        return
    with contextlib.suppress(BadMessage):
        MetricsData.FromString(to_protobuf(body))
