"""One POST to an OTLP/HTTP receiver, and what its answer means."""

from __future__ import annotations

import email.utils
import time
import urllib.parse
from dataclasses import dataclass

import httpx
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)

from novacron_agent.otlp import Request
from novacron_contract.listening import is_loopback
from novacron_contract.metrics import SENT_AT_HEADER

_TIMEOUT_S = 10.0
_MAX_RETRY_AFTER_S = 300.0
# The body is at fault: it would be refused again. Every other answer may become better.
_HOPELESS = frozenset({400, 413, 415, 422})
_MAX_REASON = 200  # characters of a receiver's text that go into the log


@dataclass(frozen=True, slots=True)
class Delivered:
    """`rejected` points were refused, for `reason`; the others were taken."""

    rejected: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """Try again, not before `after_s` when the receiver said so."""

    reason: str
    after_s: float | None = None


Answer = Delivered | Refused | Later


def client(endpoint: str, version: str) -> httpx.Client:
    """Proxies of the environment are used, but not to reach this machine."""
    return httpx.Client(
        base_url=endpoint,
        timeout=_TIMEOUT_S,
        trust_env=not is_loopback(urllib.parse.urlsplit(endpoint).hostname or ""),
        headers={
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": f"novacron-agent/{version}",
        },
    )


def post(http: httpx.Client, request: Request) -> Answer:
    sent_at = {SENT_AT_HEADER: str(time.time_ns() // 1_000_000)}
    try:
        response = http.post("/v1/metrics", content=request.body, headers=sent_at)
    except httpx.HTTPError as err:
        return Later(str(err) or type(err).__name__)
    if response.is_success:
        return _delivered(response)
    reason = f"HTTP {response.status_code} {_said(response)}".strip()
    if response.status_code in _HOPELESS:
        return Refused(reason)
    return Later(reason, _retry_after(response))


def _delivered(response: httpx.Response) -> Delivered:
    try:
        partial = ExportMetricsServiceResponse.FromString(response.content).partial_success
    except DecodeError:
        return Delivered()  # not protobuf; the status alone says that it was taken
    return Delivered(partial.rejected_data_points, partial.error_message[:_MAX_REASON])


def _said(response: httpx.Response) -> str:
    """The receiver's words, one line of printable characters."""
    body = response.content
    if response.headers.get("Content-Type", "").startswith("application/x-protobuf"):
        text = _status_message(body)
    else:
        text = body[: 4 * _MAX_REASON].decode("utf-8", "replace")
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:_MAX_REASON]


def _status_message(body: bytes) -> str:
    """Of a google.rpc.Status: a number and a text, under the numbers they have in this message."""
    try:
        return str(ExportMetricsPartialSuccess.FromString(body).error_message)
    except DecodeError:
        return ""


def _retry_after(response: httpx.Response) -> float | None:
    """Retry-After: seconds or a date."""
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(0.0, seconds), _MAX_RETRY_AFTER_S)
