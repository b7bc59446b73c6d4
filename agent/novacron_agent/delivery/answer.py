"""What a destination said to a batch, and what follows from it: OTLP's answer table."""

from __future__ import annotations

import email.utils
import math
import time
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

_MAX_REASON = 200  # characters of a destination's text that are told
_LONGEST_WAIT_S = 600.0  # that a destination may ask for


@dataclass(frozen=True, slots=True)
class Delivered:
    """`rejected` points were refused, for `reason`; the others were taken."""

    rejected: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """Send the same again, not before `after_s` where the destination said so.

    `unreachable`: there was no connection, so trying again costs nobody anything.
    """

    reason: str
    after_s: float = 0.0
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Doubtful:
    """The destination failed over it, by accident or because of this batch."""

    reason: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """In parts it may be taken."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It would be refused again."""

    reason: str


Answer = Delivered | Later | Doubtful | TooLarge | Refused


class Transport(Protocol):
    """A connection to one destination; serves one thread. `date`: of its last answer by HTTP, as it
    wrote it, else empty."""

    date: str

    def send(self, body: bytes) -> Answer: ...

    def close(self) -> None: ...


def delivered(response: bytes) -> Delivered:
    """From the body of a success, which may say that some points were not wanted."""
    try:
        partial = ExportMetricsServiceResponse.FromString(response).partial_success
    except DecodeError:
        return Delivered()  # not protobuf; the status alone says that it was taken
    return Delivered(max(0, partial.rejected_data_points), one_line(partial.error_message))


def one_line(text: str) -> str:
    """A destination's words as they may be logged."""
    printable = "".join(c if c.isprintable() else " " for c in text[: 4 * _MAX_REASON])
    return " ".join(printable.split())[:_MAX_REASON]


def wait_of(retry_after: str) -> float:
    """Seconds of a Retry-After header, which is seconds or a date; 0 for none."""
    try:
        return bounded_wait(float(retry_after))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(retry_after).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return bounded_wait(until - time.time())


def bounded_wait(seconds: float) -> float:
    return min(max(0.0, seconds), _LONGEST_WAIT_S) if not math.isnan(seconds) else 0.0
