"""Requests that wait for an operation to change hold no thread: they wait here, in front of the
API, which then answers them as it does any other."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from novacron_collector.access.access import Access
from novacron_collector.commands.progress import Progress
from novacron_contract.access import Permission
from novacron_contract.errors import NovaCronError

MAX_WAIT_S = 60
_PATH = re.compile(r"/v1/operations/([^/]{1,64})")
_NUMBER = re.compile(r"[0-9]{1,9}")


class Held:
    """Whoever may not is not held either: the API tells them so at once."""

    def __init__(self, app: ASGIApp, access: Access, progress: Progress) -> None:
        self._app = app
        self._access = access
        self._progress = progress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = _wanted(scope)
        if wanted is None or not await self._may(scope):
            await self._app(scope, receive, send)
            return
        first = await receive()
        gone = asyncio.ensure_future(_disconnect(receive))
        waiting = asyncio.ensure_future(_quietly(self._progress.until(*wanted)))
        try:
            await asyncio.wait((gone, waiting), return_when=asyncio.FIRST_COMPLETED)
            if not gone.done():
                await self._app(scope, _replayed(first, gone), send)
        finally:
            gone.cancel()
            waiting.cancel()

    async def _may(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        authorization = headers.get(b"authorization")
        source = scope["client"][0] if scope.get("client") else ""

        def ask() -> None:
            text = None if authorization is None else authorization.decode("latin-1")
            caller = self._access.caller(text, source)
            self._access.require(caller, Permission.READ)

        try:
            await asyncio.to_thread(ask)
        except NovaCronError:
            return False
        return True


def _wanted(scope: Scope) -> tuple[str, int, float] | None:
    """The operation, the version that is known, and how long to wait; None: it is not to wait."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    path = _PATH.fullmatch(scope["path"])
    query = parse_qs(scope["query_string"].decode("latin-1"))
    after, wait = query.get("after", ["0"])[0], query.get("wait", ["0"])[0]
    if path is None or not _NUMBER.fullmatch(after) or not _NUMBER.fullmatch(wait):
        return None
    seconds = int(wait)
    return (path[1], int(after), float(seconds)) if 0 < seconds <= MAX_WAIT_S else None


async def _quietly(waiting: Awaitable[None]) -> None:
    try:
        await waiting
    except NovaCronError:  # too many wait: this one is answered now
        return


async def _disconnect(receive: Receive) -> Message:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return message


def _replayed(first: Message, rest: asyncio.Future[Message]) -> Callable[[], Awaitable[Message]]:
    messages = [first]

    async def receive() -> Message:
        return messages.pop() if messages else await asyncio.shield(rest)

    return receive
