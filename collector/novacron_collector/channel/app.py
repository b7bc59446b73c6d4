"""The application of port 8441. Who asks is settled before any route is looked for, so that none
can forget it; `POST /v1/agents/enroll` alone is for those who are not known yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from novacron_collector.admission import Busy
from novacron_collector.channel.caller import REGISTRY, caller
from novacron_collector.channel.registry import Registry
from novacron_collector.receivers.answers import RETRY_AFTER_S
from novacron_collector.receivers.body import SlowSender
from novacron_contract.errors import BadMessage, NotFound, NovaCronError, TooLarge

log = logging.getLogger(__name__)

ENROLL = "/v1/agents/enroll"
METRICS = "/v1/metrics"

_BODY_S = 10.0

Handler = Callable[[Request], Awaitable[Response]]


class Channel:
    """`metrics` takes its requests without a framework, and answers errors in its own way."""

    def __init__(
        self, registry: Registry, enroll: Handler, metrics: Handler, routes: Sequence[BaseRoute]
    ) -> None:
        self._registry = registry
        self._enroll = _app([Route(ENROLL, enroll, methods=["POST"])])
        self._metrics = metrics
        self._rest = _app(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        scope[REGISTRY] = self._registry
        request = Request(scope, receive)
        if scope["path"] == ENROLL:
            await self._enroll(scope, receive, send)
        elif scope["path"] == METRICS:
            await (await self._metrics(request))(scope, receive, send)
        else:
            await self._for_agents(request, scope, receive, send)

    async def _for_agents(
        self, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            await caller(scope)
        except NovaCronError as err:
            await _error(request, err)(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


async def read_json(request: Request, limit: int) -> object:
    """The body of a request, which may be any JSON.

    Raises:
        TooLarge: it is longer than `limit` bytes.
        BadMessage: it is no JSON.
        SlowSender: it does not arrive in time.
    """
    content = b""
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in request.stream():
                content += part
                if len(content) > limit:
                    raise TooLarge(f"the request is more than {limit} bytes")
    except TimeoutError as err:
        raise SlowSender(f"the request did not arrive within {_BODY_S:g} s") from err
    return parsed(content)


def parsed(content: bytes) -> object:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as err:
        raise BadMessage(f"not JSON: {err}") from err


def answer(document: object) -> Response:
    return Response(orjson.dumps(document, option=orjson.OPT_UTC_Z), media_type="application/json")


def _app(routes: Sequence[BaseRoute]) -> ASGIApp:
    handlers = {
        NovaCronError: _error,
        HTTPException: _http_error,
        ClientDisconnect: _gone,
        Exception: _surprise,
    }
    app: ASGIApp = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
    return app


def _error(_request: Request, err: NovaCronError) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if err.retryable else {}
    if isinstance(err, (TooLarge, SlowSender, Busy)):
        headers["Connection"] = "close"  # the rest of the body is not read
    return _told(type(err).__name__, str(err), err.status, headers)


def _http_error(request: Request, err: HTTPException) -> Response:
    if err.status_code == NotFound.status:
        return _error(request, NotFound("nothing is here for agents"))
    return _told("HTTPException", err.detail, err.status_code, dict(err.headers or {}))


def _gone(_request: Request, _err: ClientDisconnect) -> Response:
    """Nobody is there to read it."""
    return Response(status_code=400)


def _surprise(_request: Request, err: Exception) -> Response:
    log.error("an agent's request failed", exc_info=err)
    why = "this is a defect; the collector's log has the details"
    return _told("InternalError", why, 500, {})


def _told(name: str, message: str, code: int, headers: dict[str, str]) -> Response:
    body = orjson.dumps({"error": name, "message": message})
    return Response(body, code, headers, "application/json")
