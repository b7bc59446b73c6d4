"""What the agent writes and reads without protobuf's library, held against that."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

from novacron_contract.errors import BadMessage
from novacron_otlp.answer import accepted, one_line
from novacron_otlp.wire import fields, key_values, whole

_ATTRIBUTES = 7  # of NumberDataPoint
_INTS = st.integers(-(2**63), 2**63 - 1)
_VALUES = st.one_of(st.text(), _INTS, st.floats(allow_nan=False))


def any_value(value: str | int | float) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=value)
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(double_value=value)


@given(st.dictionaries(st.text(), _VALUES))
@example({"": "", "zero": 0, "half": 0.0, "long": "x" * 200})
def test_attributes_are_written_byte_for_byte_as_protobuf_writes_them(
    attributes: dict[str, str | int | float],
) -> None:
    pairs = [KeyValue(key=name, value=any_value(value)) for name, value in attributes.items()]

    written = key_values(_ATTRIBUTES, attributes)

    assert written == NumberDataPoint(attributes=pairs).SerializeToString()


def test_a_number_of_more_than_64_bits_is_an_error() -> None:
    with pytest.raises(OverflowError):
        whole(1, 2**63)


@given(_INTS, st.text())
def test_an_answer_says_how_many_points_were_rejected_and_why(rejected: int, why: str) -> None:
    answer = ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = rejected
    answer.partial_success.error_message = why

    said = accepted(answer.SerializeToString())

    assert (said.rejected, said.reason) == (max(0, rejected), one_line(why))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x0a\x00",  # how OpenTelemetry's own collector says that all is well
        b"\x0a\x02\x08\x02\x0a\x03\x12\x01x",  # in two parts
        b"\x0a\x0b\x08" + b"\xff" * 9 + b"\x01",  # -1
        b"\x0a\x04\x12\x02\xff\xfe",  # no UTF-8
        b"\x08\x05\x12\x01y\x0a\x07\x08\x03\x1d1234\x12\x01z",  # and what nobody knows yet
        b"\x0a\x02\x12\x01",
        b"<html>",
    ],
)
def test_an_answer_is_read_as_protobuf_reads_it(body: bytes) -> None:
    try:
        partial = ExportMetricsServiceResponse.FromString(body).partial_success
        right = (max(0, partial.rejected_data_points), one_line(partial.error_message))
    except DecodeError:
        right = (0, "")

    said = accepted(body)

    assert (said.rejected, said.reason) == right


@given(st.binary(max_size=40))
def test_no_answer_is_an_error(body: bytes) -> None:
    assert accepted(body).rejected >= 0


@pytest.mark.parametrize(
    "broken", [b"\x0a", b"\x0a\x05ab", b"\x09abc", b"\x08", b"\x08" + b"\xff" * 11, b"\x00\x01"]
)
def test_what_ends_too_early_or_has_no_number_is_no_message(broken: bytes) -> None:
    with pytest.raises(BadMessage):
        list(fields(broken))
