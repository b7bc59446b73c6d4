"""Prometheus remote write 1.0: POST /api/v1/write, protobuf in a snappy block."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from enum import StrEnum

import cramjam
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from novacron_collector.otlp.decoded import Outcome
from novacron_collector.otlp.limits import PointLimits
from novacron_collector.prometheus.convert import Converted, Converter
from novacron_collector.receivers.answers import NotPost, headers
from novacron_collector.receivers.body import BodyLimits, UnknownEncoding, receive
from novacron_collector.receivers.door import OPEN, Door
from novacron_collector.receivers.intake import Intake
from novacron_contract.errors import BadMessage, NovaCronError, TooLarge

PATH = "/api/v1/write"
_PROTOBUF = "application/x-protobuf"
_MESSAGES = ("", "prometheus.WriteRequest")


class RemoteWrite:
    """`object_limit`: of what becomes Python objects, which take more memory than its length."""

    def __init__(
        self,
        intake: Intake,
        limits: BodyLimits,
        object_limit: int,
        points: PointLimits,
        door: Door = OPEN,
    ) -> None:
        self._intake = intake
        self._door = door
        self._limits = limits
        self._inflated = min(limits.inflated, object_limit)
        self._converter = Converter(points, limits.inflated)
        # One thread: the converter's memory serves one, and one request's objects are the most
        # that there ever are.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="remote-write")

    async def write(self, request: Request) -> Response:
        """
        Raises:
            NovaCronError: see `error`; nothing is stored.
        """
        if request.method != "POST":
            raise NotPost("remote write comes with POST")
        self._door.check(request.headers.get("authorization"))
        _check_kind(request)
        with self._intake.room.enter() as place:
            sent = await receive(request, place, self._limits)
            size = inflated_size(sent, self._inflated)
            place.grow(size)
            loop = asyncio.get_running_loop()
            converted = await loop.run_in_executor(self._worker, self._convert, sent)
            place.grow(len(converted.body))
            outcome = Outcome()
            if converted.body:
                outcome = await self._intake.protobuf(converted.body, None, sent)
        for reason, count in converted.rejected.items():
            self._intake.pipeline.counts.rejected[reason.name.lower()] += count
        return _answer(outcome, converted.rejected)

    def _convert(self, sent: bytes) -> Converted:
        return self._converter.convert(inflated(sent))


def error(_request: Request, err: NovaCronError) -> Response:
    """In words. What may succeed later is a 503: Prometheus drops what is answered with any 4xx,
    with 429 too unless `retry_on_http_429` is set."""
    code = 503 if err.retryable else err.status
    return PlainTextResponse(f"{err}\n", code, headers(err))


def inflated_size(sent: bytes, limit: int) -> int:
    """What the block says of itself.

    Raises:
        TooLarge: that is more than `limit`.
        BadMessage: it is no snappy block.
    """
    try:
        size: int = cramjam.snappy.decompress_raw_len(sent)
    except cramjam.DecompressionError as err:
        raise _not_snappy(err) from err
    if size > limit:
        raise TooLarge(f"the request is more than {limit} bytes when inflated: send fewer samples")
    return size


def inflated(sent: bytes) -> bytes:
    """
    Raises:
        BadMessage: it is no snappy block, or not of the length it says.
    """
    try:
        return bytes(cramjam.snappy.decompress_raw(sent))
    except cramjam.DecompressionError as err:
        raise _not_snappy(err) from err


def _check_kind(request: Request) -> None:
    header = Message()
    header["Content-Type"] = request.headers.get("content-type", "")
    if request.headers.get("content-type") is None or header.get_content_type() != _PROTOBUF:
        raise UnknownEncoding(f"expected Content-Type {_PROTOBUF}")
    message = header.get_param("proto", "")
    if message not in _MESSAGES:
        raise UnknownEncoding(
            f"{message!r} is not taken: send remote write 1.0, the message {_MESSAGES[1]}"
        )
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("snappy", ""):  # older senders leave it out
        raise UnknownEncoding(f"Content-Encoding {encoding!r}: expected snappy")


def _answer(outcome: Outcome, rejected: Counter[StrEnum]) -> Response:
    every: Counter[StrEnum] = Counter(rejected)
    every.update(outcome.rejected)
    if not every:
        return Response(status_code=204)
    reasons = "; ".join(f"{count}: {reason}" for reason, count in every.most_common())
    text = f"{outcome.points} points are stored, {every.total()} are not and never will be: "
    return PlainTextResponse(f"{text}{reasons}\n", 400)


def _not_snappy(err: Exception) -> BadMessage:
    return BadMessage(f"the request is no snappy block: {err}")
