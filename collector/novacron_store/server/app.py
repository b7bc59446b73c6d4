"""The HTTP interface: each request gets a handle, a thread of a bounded pool, an answer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from novacron_store.server.answers import Answer, answer
from novacron_store.server.engine import Engine, Handle
from novacron_store.server.failures import EngineError
from novacron_store.server.handles import Handles, Lease
from novacron_store.server.pools import Pool
from novacron_store.server.principals import Passwords, Principal
from novacron_store.server.profiles import MAX_QUERY_S, reader_profile, service_profile
from novacron_store.server.reading import read
from novacron_store.server.requests import Call, read_call
from novacron_store.server.sending import StreamedAnswer, error_response, whole_response
from novacron_store.server.sessions import Sessions
from novacron_store.server.settings import Settings
from novacron_store.telemetry.client import DATABASE

_GRACE_S = 5  # beyond twice a reader's time limit, before a query counts as stuck


class Front:
    """One engine's HTTP interface."""

    def __init__(self, engine: Engine, passwords: Passwords, settings: Settings) -> None:
        store, limits = settings.store, settings.limits
        self._engine = engine
        self._passwords = passwords
        self._limits = limits
        self._max_body = int(store.max_body)
        self._profile = service_profile(int(store.memory))
        self._sessions = Sessions(lambda: engine.open(self._profile))
        self._handles = Handles(engine.open)
        self._pools = {
            Principal.SERVICE: Pool("service", store.max_queries, 2 * MAX_QUERY_S),
            Principal.READER: Pool("reader", limits.queries, 2 * limits.time + _GRACE_S),
        }
        self._headers = _server_headers(engine)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/ping", self.ping),
                Route("/", self.ping, methods=["HEAD"]),
                Route("/", self.query, methods=["GET", "POST"]),
            ]
        )

    def cancel_queries(self) -> None:
        handle = self._engine.open()
        handle.ask("KILL QUERY WHERE query_id != currentQueryID() ASYNC", {})
        handle.close()

    def close(self) -> None:
        """Free every thread and handle."""
        self.cancel_queries()
        for pool in self._pools.values():
            pool.close()
        self._sessions.close()
        self._handles.close()

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
        pool = self._pools[call.principal]
        with pool.admitted():
            lease, ended = self._lease(call)
            try:
                result = await pool.run(partial(_execute, lease, call))
            except asyncio.CancelledError:
                raise  # at a stop: a thread still works with the handle
            except BaseException:
                ended()
                raise
        if result.rest is None:
            ended()
            return await whole_response(result, headers, call.encoding)

        async def release() -> None:
            try:
                await pool.run(partial(_finish, lease, result))
            finally:
                ended()

        next_piece = partial(pool.run, partial(next, result.rest, None))
        return StreamedAnswer(result, headers, next_piece, release, call.encoding)

    def _lease(self, call: Call) -> tuple[Lease, Callable[[], None]]:
        """A handle for this request, and what the event loop does when it is over."""
        if call.principal is Principal.READER:
            profile = reader_profile(self._limits, call.settings)
            return Lease(partial(self._engine.open, profile)), _nothing
        if call.session is not None:
            session, name = call.session, call.session.name
            handle = self._sessions.take(name, session.lifetime, must_exist=session.must_exist)
            return Lease.of_session(handle), partial(self._sessions.give_back, name)
        return self._handles.lease(self._profile | call.settings), _nothing


def _execute(lease: Lease, call: Call) -> Answer:
    """The answer; the handle is left already if that is all of it."""
    handle = lease.take()
    try:
        result = _answer(handle, call)
    except BaseException:
        lease.leave(spoiled=True)
        raise
    if result.rest is None:
        lease.leave(spoiled=not call.statement.leaves_no_trace)
    return result


def _answer(handle: Handle, call: Call) -> Answer:
    if call.principal is Principal.READER:
        return read(handle, call)
    if call.statement.changes_context:
        handle.change_context(call.statement.text)
        return Answer("", b"")
    handle.prepare(call.database, call.settings if call.session else {})
    return answer(handle, call.statement, call.parameters, whole=call.waits)


def _finish(lease: Lease, result: Answer) -> None:
    """After the last piece, or when nobody wants it any more."""
    assert result.rest is not None
    try:
        result.rest.close()  # cancels what still runs
    finally:
        lease.leave(spoiled=True)


def _nothing() -> None:
    """Of a request without a session."""


def _server_headers(engine: Engine) -> dict[str, str]:
    handle = engine.open()
    handle.ask(f"CREATE DATABASE IF NOT EXISTS {DATABASE}", {})  # readers live in it from the start
    timezone = handle.ask("SELECT timezone()", {}).strip()
    handle.close()
    return {
        "X-ClickHouse-Server-Display-Name": "novacron-store",
        "X-ClickHouse-Timezone": timezone,
    }


def _printable(text: str) -> str:
    return "".join(c for c in text[:128] if c.isascii() and c.isprintable())
