"""What each answer by gRPC means, from a real peer that gives it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from novacron_otlp.answer import Accepted, Doubtful, Later, Refused, TooLarge
from otlp_client import answer_to, request, settings
from otlp_grpc_receiver import GrpcReceiver, otlp_grpc_receiver, refusing


@pytest.fixture
def receiver() -> Iterator[GrpcReceiver]:
    with otlp_grpc_receiver() as receiver:
        yield receiver


@pytest.mark.parametrize(
    ("codes", "meaning"),
    [
        ("UNAVAILABLE DEADLINE_EXCEEDED CANCELLED ABORTED OUT_OF_RANGE DATA_LOSS", Later),
        ("UNAUTHENTICATED PERMISSION_DENIED UNIMPLEMENTED NOT_FOUND", Later),
        ("INVALID_ARGUMENT FAILED_PRECONDITION ALREADY_EXISTS", Refused),
        ("INTERNAL UNKNOWN RESOURCE_EXHAUSTED", Doubtful),
    ],
)
def test_a_code_means(receiver: GrpcReceiver, codes: str, meaning: type) -> None:
    for code in codes.split():
        receiver.will_answer(refusing(code, "no such\nfield"))
        answer = answer_to(request(), settings(f"grpc://{receiver.address}"))
        assert type(answer) is meaning, code
        assert not isinstance(answer, Accepted)
        assert answer.reason.startswith(f"gRPC {code} no such field"), code


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "PERMISSION_DENIED"])
def test_without_rights_it_is_said_what_to_look_at(receiver: GrpcReceiver, code: str) -> None:
    receiver.will_answer(refusing(code))
    answer = answer_to(request(), settings(f"grpc://{receiver.address}"))
    assert isinstance(answer, Later)
    assert answer.reason.endswith(": see headers_file, cert_file")


@pytest.mark.parametrize(("asked", "kept"), [(1.5, 1.5), (0, 0), (601, 600), (1e17, 600)])
def test_retry_info_is_kept_up_to_ten_minutes(
    receiver: GrpcReceiver, asked: float, kept: float
) -> None:
    receiver.will_answer(refusing("RESOURCE_EXHAUSTED", "quota", retry_s=asked))
    answer = answer_to(request(), settings(f"grpc://{receiver.address}"))
    assert answer == Later("gRPC RESOURCE_EXHAUSTED quota", kept)


@pytest.mark.parametrize(
    ("words", "padding", "meaning"),
    [
        ("quota", 0, Doubtful),  # a small one is not refused for its size
        ("quota", 70_000, TooLarge),
        ("message larger than max (9 vs. 8)", 0, TooLarge),
        ("request is too large", 0, TooLarge),
    ],
)
def test_what_is_exhausted_may_be_the_size(
    receiver: GrpcReceiver, words: str, padding: int, meaning: type
) -> None:
    receiver.will_answer(refusing("RESOURCE_EXHAUSTED", words))
    answer = answer_to(request(padding=padding), settings(f"grpc://{receiver.address}"))
    assert type(answer) is meaning


def test_a_message_over_the_receivers_own_limit_is_too_large() -> None:
    with otlp_grpc_receiver(max_message=500) as receiver:
        there = settings(f"grpc://{receiver.address}", compression="none")
        assert isinstance(answer_to(request(padding=1000), there), TooLarge)


def test_what_a_success_rejects_is_told(receiver: GrpcReceiver) -> None:
    partly = ExportMetricsServiceResponse()
    partly.partial_success.rejected_data_points = 2
    partly.partial_success.error_message = "too\nold"
    receiver.will_answer(lambda _context: bytes(partly.SerializeToString()))
    there = settings(f"grpc://{receiver.address}")
    assert answer_to(request(3), there) == Accepted(2, "too old")
    assert answer_to(request(3), there) == Accepted()
