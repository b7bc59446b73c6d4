"""A request's body off the wire: bounded while it arrives and while it inflates."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from isal import isal_zlib
from starlette.requests import Request

from novacron_collector.admission import Place
from novacron_contract.errors import BadMessage, NovaCronError, TooLarge

_STEP = 256 * 1024
_PIECE = 16 * 1024
_MAX_MEMBERS = 1024
_GZIP = 31  # zlib's wbits for a gzip header
_GZIP_MAGIC = b"\x1f\x8b"


class SlowSender(NovaCronError):
    status = 408
    retryable = True


class UnknownEncoding(NovaCronError):
    status = 415


@dataclass(frozen=True, slots=True)
class BodyLimits:
    wire: int
    inflated: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Body:
    """What a sender means, and the bytes it sent to say so."""

    content: bytes
    sent: bytes


async def read_body(request: Request, place: Place, limits: BodyLimits) -> Body:
    """
    Raises:
        TooLarge: on the wire, or inflated.
        UnknownEncoding: it is neither gzip nor plain.
        BadMessage: it says gzip and is not.
        SlowSender: it does not arrive in time.
        Busy: there is no room for it now.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("gzip", "identity", ""):
        raise UnknownEncoding(f"Content-Encoding {encoding!r}: expected gzip or identity")
    sent = await receive(request, place, limits)
    content = await inflate(sent, place, limits.inflated) if encoding == "gzip" else sent
    return Body(content, sent)


async def receive(request: Request, place: Place, limits: BodyLimits) -> bytes:
    """The body as it is on the wire, whatever its encoding.

    Raises:
        TooLarge: on the wire.
        SlowSender: it does not arrive in time.
        Busy: there is no room for it now.
    """
    _check_announced(request.headers.get("content-length", ""), limits.wire)
    try:
        async with asyncio.timeout(limits.seconds):
            return await _read(request, place, limits.wire)
    except TimeoutError as err:
        raise SlowSender(f"the request did not arrive within {limits.seconds:g} s") from err


async def inflate(sent: bytes, place: Place, limit: int) -> bytes:
    """Gzip, of one member or several; others have their turn meanwhile.

    Raises:
        TooLarge: it is more than `limit` bytes when inflated.
        BadMessage: it is not gzip.
        Busy: there is no room for it now.
    """
    parts: list[bytes] = []
    total = paused = 0
    for part in _inflated(sent):
        total += len(part)
        if total > limit:
            raise TooLarge(f"the request is more than {limit} bytes when inflated")
        place.grow(len(part))
        parts.append(part)
        if total - paused > _STEP:
            paused = total
            await asyncio.sleep(0)
    return b"".join(parts)


def _inflated(sent: bytes) -> Iterator[bytes]:
    """In pieces of about _STEP bytes. What a decompressor is given and does not use it copies, so
    that it is given little at a time."""
    members = 0
    stream: Any = None
    try:
        for at in range(0, len(sent), _PIECE):
            rest = sent[at : at + _PIECE]
            while rest:
                if stream is None:
                    members += 1
                    stream = _opened(rest)
                yield stream.decompress(rest, _STEP)
                rest = stream.unconsumed_tail or stream.unused_data
                stream = None if stream.eof else stream
            if members > _MAX_MEMBERS:
                raise BadMessage(f"the request has more than {_MAX_MEMBERS} gzip members")
        if stream is not None:
            yield stream.flush()
            if not stream.eof:
                raise BadMessage("the request's gzip stream ends too early")
    except isal_zlib.error as err:  # type: ignore[misc]  # its stub takes the class for an object
        raise BadMessage(f"the request is not gzip: {err}") from err


def _opened(beginning: bytes) -> Any:
    if not _GZIP_MAGIC.startswith(beginning[:2]):  # of so few bytes isal itself would want more
        raise BadMessage("the request is not gzip")
    return isal_zlib.decompressobj(_GZIP)


def _check_announced(length: str, limit: int) -> None:
    if length.isascii() and length.isdigit() and int(length) > limit:
        raise _too_large(limit)


async def _read(request: Request, place: Place, limit: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    async for part in request.stream():
        total += len(part)
        if total > limit:
            raise _too_large(limit)
        place.grow(len(part))
        parts.append(part)
    return b"".join(parts)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the request is more than {limit} bytes: send fewer points at a time")
