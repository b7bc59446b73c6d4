"""Questions in and answers out: limits on what a browser sends, and errors as JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from novacron_contract.errors import BadMessage, NovaCronError, TooLarge
from novacron_ui.collector import Reply

log = logging.getLogger(__name__)

T = TypeVar("T")
View = Callable[[Request], Awaitable[Response]]
_NO_STORE = {"Cache-Control": "no-store"}
BODY_S = 10.0


class TooSlow(NovaCronError):
    status = 408


def answering(view: View) -> View:
    """Turn our errors into answers, as the collector does."""

    async def answer(request: Request) -> Response:
        try:
            return await view(request)
        except NovaCronError as err:
            if err.status >= 500:
                log.warning("%s %s: %s", request.method, request.url.path, err)
            body = {"error": type(err).__name__, "message": str(err)}
            unread = isinstance(err, (TooSlow, TooLarge))  # what is left of it is not waited for
            headers = _NO_STORE | ({"Connection": "close"} if unread else {})
            return JSONResponse(body, err.status, headers)

    return answer


async def read_json(request: Request, most: int, within_s: float = BODY_S) -> tuple[bytes, Any]:
    """A form of another site cannot send JSON; this one's scripts send nothing else.

    Raises:
        BadMessage: it is no JSON.
        TooLarge: it is over `most` bytes.
        TooSlow: it is not here after `within_s`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadMessage("expected Content-Type: application/json")
    try:
        async with asyncio.timeout(within_s):
            body = await _body(request, most)
    except TimeoutError as err:
        raise TooSlow(
            f"the body did not arrive within {within_s:g} seconds: send it again"
        ) from err
    try:
        return body, orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError) as err:
        raise BadMessage("expected JSON") from err


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise TooLarge(f"a body over {most} bytes")
    return bytes(body)


def relayed(reply: Reply) -> Response:
    """The collector's answer, as it is."""
    if reply.json() is None:
        body = {"error": "Unavailable", "message": f"the collector answered {reply.status}"}
        return JSONResponse(body, 502, _NO_STORE)
    return Response(reply.content, reply.status, _NO_STORE, "application/json")


async def while_there(request: Request, asking: Coroutine[Any, Any, T]) -> T | None:
    """What the coroutine returns; None: the browser went before, and it is cancelled."""
    task, gone = asyncio.create_task(asking), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
