"""The HTTP interface: each request gets a handle, a thread of a bounded pool, an answer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from novacron_store.server.answers import Answer, answer
from novacron_store.server.engine import Engine, Handle
from novacron_store.server.failures import ACCESS_DENIED, EngineError
from novacron_store.server.principals import Passwords, Principal
from novacron_store.server.requests import Call, read_call
from novacron_store.server.sending import StreamedAnswer, error_response, whole_response
from novacron_store.server.sessions import Sessions
from novacron_store.server.settings import StoreSettings

T = TypeVar("T")

_MAX_QUERY_S = 300


class Front:
    """One engine's HTTP interface."""

    def __init__(self, engine: Engine, passwords: Passwords, settings: StoreSettings) -> None:
        self._engine = engine
        self._passwords = passwords
        self._max_body = int(settings.max_body)
        self._profile = _service_profile(int(settings.memory))
        self._sessions = Sessions(lambda: engine.open(self._profile))
        self._pool = ThreadPoolExecutor(settings.max_queries, "service")
        self._headers = _server_headers(engine)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/ping", self.ping),
                Route("/", self.ping, methods=["HEAD"]),
                Route("/", self.query, methods=["GET", "POST"]),
            ]
        )

    def close(self) -> None:
        """Let running queries end, then free every handle."""
        self._pool.shutdown(wait=True)
        self._sessions.close()

    async def ping(self, request: Request) -> Response:
        return PlainTextResponse("Ok.\n", headers=self._headers)

    async def query(self, request: Request) -> Response:
        if request.method == "GET" and not request.query_params:
            return await self.ping(request)
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        headers = {**self._headers, "X-ClickHouse-Query-Id": _printable(query_id)}
        try:
            call = await read_call(request, self._passwords, self._max_body)
            return await self._serve(call, headers)
        except EngineError as err:
            return error_response(err, headers)

    async def _serve(self, call: Call, headers: dict[str, str]) -> Response:
        if call.principal is not Principal.SERVICE:
            raise EngineError.of(ACCESS_DENIED, "reader: not enough privileges")
        handle, release = await self._lease(call)
        try:
            result = await self._in_pool(partial(_execute, handle, call))
        except EngineError:
            await release(None)
            raise
        if result.rest is None:
            await release(result)
            return whole_response(result, headers)
        return StreamedAnswer(
            result,
            headers,
            partial(self._in_pool, partial(next, result.rest, None)),
            partial(release, result),
        )

    async def _lease(self, call: Call) -> tuple[Handle, Callable[[Answer | None], Awaitable[None]]]:
        session = call.session
        if session is None:
            handle = await self._in_pool(partial(self._engine.open, self._profile))
            return handle, partial(self._close, handle)
        handle = self._sessions.take(session.name, session.lifetime, must_exist=session.must_exist)
        return handle, partial(self._give_back, session.name)

    async def _close(self, handle: Handle, result: Answer | None) -> None:
        await self._in_pool(partial(_finish, result))
        await self._in_pool(handle.close)

    async def _give_back(self, session: str, result: Answer | None) -> None:
        await self._in_pool(partial(_finish, result))
        self._sessions.give_back(session)

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _execute(handle: Handle, call: Call) -> Answer:
    if call.statement.changes_context:
        handle.change_context(call.statement.text)
        return Answer("", b"")
    handle.prepare(call.database, call.settings)
    return answer(handle, call.statement, call.parameters)


def _finish(result: Answer | None) -> None:
    if result is not None and result.rest is not None:
        result.rest.close()  # cancels what still runs


def _service_profile(memory: int) -> dict[str, str]:
    return {
        "async_insert": "0",  # an insert is acknowledged when its part is on disk
        "implicit_select": "0",  # as a server has it
        "max_memory_usage": str(memory // 2),
        "max_execution_time": str(_MAX_QUERY_S),
    }


def _server_headers(engine: Engine) -> dict[str, str]:
    handle = engine.open()
    timezone = handle.ask("SELECT timezone()", {}).strip()
    handle.close()
    return {
        "X-ClickHouse-Server-Display-Name": "novacron-store",
        "X-ClickHouse-Timezone": timezone,
    }


def _printable(text: str) -> str:
    return "".join(c for c in text[:128] if c.isascii() and c.isprintable())
