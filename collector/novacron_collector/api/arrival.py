"""A request's body arrives whole before a thread has anything to do with it: there are few of them,
and who sends slowly, or not at all, would hold one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from novacron_collector.admission import Room
from novacron_collector.receivers import answers
from novacron_collector.receivers.body import BodyLimits, receive
from novacron_contract.errors import NovaCronError, TooLarge

_SECONDS = 30.0
_IN_HAND = 64 * 1024**2  # bytes of all together
_REQUESTS = 1024


class Arrival:
    """In front of an app that is served by threads; `limit`: bytes of a body."""

    def __init__(self, app: ASGIApp, limit: int, seconds: float = _SECONDS) -> None:
        self._app = app
        self._limits = BodyLimits(limit, limit, seconds)
        self._room = Room(_IN_HAND, _REQUESTS)

    async def __call__(self, scope: Scope, receive_more: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive_more, send)
            return
        with self._room.enter() as place:  # more connections than that there are none
            try:
                body = await receive(Request(scope, receive_more), place, self._limits)
            except ClientDisconnect:
                return
            except NovaCronError as err:
                await self._told(err)(scope, receive_more, send)
            else:
                await self._app(scope, _whole(body, receive_more), send)

    def _told(self, err: NovaCronError) -> Response:
        large = isinstance(err, TooLarge)
        message = f"the request is more than {self._limits.wire} bytes" if large else str(err)
        document = orjson.dumps({"error": type(err).__name__, "message": message})
        headers = {**answers.headers(err), "Connection": "close"}  # the rest is not read
        headers |= {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        return Response(document, err.status, headers, "application/json")


def _whole(body: bytes, rest: Receive) -> Callable[[], Awaitable[Message]]:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_next() -> Message:
        return messages.pop() if messages else await rest()

    return receive_next
