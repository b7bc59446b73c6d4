"""Answers and errors as HTTP responses, in the words ClickHouse's clients understand."""

from __future__ import annotations

import asyncio
import json
import secrets
import string
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from novacron_store.server.answers import Answer
from novacron_store.server.compression import compressor
from novacron_store.server.failures import EngineError

_STALL_S = 60.0  # a client that takes no bytes for this long has its query cancelled
_WORTH_COMPRESSING = 1024  # bytes
_TYPES = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8",
    "CSVWithNames": "text/csv; charset=UTF-8",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "Native": "application/octet-stream",
    "ArrowStream": "application/octet-stream",
    "Arrow": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "RowBinary": "application/octet-stream",
}


class StreamedAnswer(Response):
    """Sends the head, then each further piece as soon as it is there.

    `next_piece` computes one more (None: no more); `release` frees the handle, whatever happened,
    before the client can see the end: its next request finds the session free.
    """

    def __init__(
        self,
        answer: Answer,
        headers: Mapping[str, str],
        next_piece: Callable[[], Awaitable[bytes | None]],
        release: Callable[[], Awaitable[None]],
        encoding: str = "",
    ) -> None:
        self._tag = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))
        tag = {"X-ClickHouse-Exception-Tag": self._tag}
        super().__init__(None, headers={**headers, **_described(answer), **tag})
        del self.headers["Content-Length"]
        self._compressor = compressor(encoding) if encoding else None
        if encoding:
            self.headers["Content-Encoding"] = encoding
        self._head = answer.head
        self._next_piece = next_piece
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await send(start)
            piece: bytes | None = self._head
            while piece is not None and not gone.done():
                await _send_body(send, await self._encoded(piece), more=True)
                piece = await self._guarded()
        finally:
            gone.cancel()
            await self._release()
        end = self._compressor.flush() if self._compressor else b""
        await _send_body(send, end, more=False)

    async def _encoded(self, piece: bytes) -> bytes:
        if self._compressor is None:
            return piece
        return await asyncio.to_thread(self._compressor.compress, piece)

    async def _guarded(self) -> bytes | None:
        """The next piece; an error that comes too late for a status ends the body instead."""
        try:
            return await self._next_piece()
        except EngineError as err:
            text = err.text.encode()
            tag = self._tag.encode()
            ending = b"%s\n%d %s" % (text, len(text), tag)
            self._next_piece = _nothing
            return b"\r\n__exception__\r\n%s\r\n%s\r\n__exception__\r\n" % (tag, ending)


async def whole_response(answer: Answer, headers: Mapping[str, str], encoding: str) -> Response:
    body, described = answer.head, {**headers, **_described(answer)}
    if encoding and len(body) >= _WORTH_COMPRESSING:
        body = await asyncio.to_thread(_compressed, body, encoding)
        described["Content-Encoding"] = encoding
    return Response(body, headers={**described, "X-ClickHouse-Summary": _summary(answer)})


def error_response(err: EngineError, headers: Mapping[str, str]) -> Response:
    code = {"X-ClickHouse-Exception-Code": str(err.code)}
    return Response(
        err.text + "\n",
        err.status,
        {**headers, **code, "Content-Type": "text/plain; charset=UTF-8"},
    )


def _compressed(body: bytes, encoding: str) -> bytes:
    whole = compressor(encoding)
    return whole.compress(body) + whole.flush()


async def _send_body(send: Send, body: bytes, *, more: bool) -> None:
    async with asyncio.timeout(_STALL_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})


async def _nothing() -> None:
    return None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _described(answer: Answer) -> dict[str, str]:
    return {
        "X-ClickHouse-Format": answer.format,
        "Content-Type": _TYPES.get(answer.format, "text/plain; charset=UTF-8"),
    }


def _summary(answer: Answer) -> str:
    counts = {name: str(value) for name, value in asdict(answer.counts).items()}
    return json.dumps({**counts, "result_bytes": str(len(answer.head)), "total_rows_to_read": "0"})
