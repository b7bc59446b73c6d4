"""What a sender is told, as the OTLP specification words it."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from novacron_collector.otlp.decoded import Outcome
from novacron_contract.errors import NovaCronError, Unauthenticated

RETRY_AFTER_S = 5

_CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    408: Code.DEADLINE_EXCEEDED,
    409: Code.FAILED_PRECONDITION,
    413: Code.RESOURCE_EXHAUSTED,
    415: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    503: Code.UNAVAILABLE,
}


class NotPost(NovaCronError):
    status = 405


def headers(err: NovaCronError) -> dict[str, str]:
    """Of an HTTP answer that tells `err`."""
    named = {}
    if err.retryable:
        named["Retry-After"] = str(RETRY_AFTER_S)
    if err.status == NotPost.status:
        named["Allow"] = "POST"
    if err.status == Unauthenticated.status:
        named["WWW-Authenticate"] = "Bearer"
    if err.status in (408, 413):
        named["Connection"] = "close"  # the rest of the body is not read
    return named


def response(outcome: Outcome) -> ExportMetricsServiceResponse:
    """For a request of which something or everything is stored, or nothing was to be stored."""
    answer = ExportMetricsServiceResponse()
    if outcome.rejected:
        answer.partial_success.rejected_data_points = outcome.rejected.total()
        answer.partial_success.error_message = outcome.message
    return answer


def status(err: NovaCronError) -> Status:
    """A retryable error says when to try again; one without that word is not to be retried."""
    answer = Status(code=_CODES.get(err.status, Code.UNAVAILABLE), message=str(err))
    if err.retryable:
        retry = RetryInfo()
        retry.retry_delay.seconds = RETRY_AFTER_S
        detail = AnyMessage()
        detail.Pack(retry)
        answer.details.append(detail)
    return answer
