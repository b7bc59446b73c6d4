"""OTLP over HTTP: POST /v1/metrics, protobuf or JSON, plain or gzip. Remote write is beside it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.json_format import MessageToJson
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from novacron_collector.otlp.decoded import Outcome
from novacron_collector.otlp.limits import PointLimits
from novacron_collector.receivers import remote_write
from novacron_collector.receivers.answers import NotPost, headers, response, status
from novacron_collector.receivers.body import BodyLimits, UnknownEncoding, read_body
from novacron_collector.receivers.door import OPEN, Door
from novacron_collector.receivers.intake import Intake
from novacron_collector.receivers.refusals import Refusal, Refusals
from novacron_contract.errors import NotFound, NovaCronError, Unavailable
from novacron_contract.metrics import SENT_AT_HEADER

log = logging.getLogger(__name__)

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

Handler = Callable[[Request], Awaitable[Response]]
_Error = Callable[[Request, NovaCronError], Response]
_DEFAULT = PointLimits()


def create_app(
    intake: Intake,
    limits: BodyLimits,
    json_limit: int,
    points: PointLimits = _DEFAULT,
    door: Door = OPEN,
) -> ASGIApp:
    json_limits = BodyLimits(min(limits.wire, json_limit), json_limit, limits.seconds)

    async def metrics(request: Request) -> Response:
        if request.method != "POST":
            raise NotPost("send metrics with POST")
        door.check(request.headers.get("authorization"))
        kind = content_type(request)
        store = intake.json if kind == JSON else intake.protobuf
        with intake.room.enter() as place:
            body = await read_body(request, place, json_limits if kind == JSON else limits)
            sent_at = request.headers.get(SENT_AT_HEADER)
            outcome: Outcome = await store(body.content, sent_at, body.sent)
        return encoded(response(outcome), kind, 200)

    async def other_signal(request: Request) -> Response:
        signal = request.url.path.rsplit("/", 1)[-1]
        raise NotFound(f"NovaCron stores metrics; it does not take {signal}")

    async def elsewhere(_request: Request) -> Response:
        raise NotFound(
            f"nothing is here: OTLP metrics go to /v1/metrics, remote write to {remote_write.PATH}"
        )

    prometheus = remote_write.RemoteWrite(intake, limits, json_limit, points, door)

    refusals = intake.refusals
    taken = {
        "/v1/metrics": answering(metrics, refusals),
        remote_write.PATH: answering(prometheus.write, refusals, remote_write.error),
    }
    others = {
        "/v1/traces": answering(other_signal, refusals),
        "/v1/logs": answering(other_signal, refusals),
        "/{path:path}": answering(elsewhere, refusals),
    }
    every = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
    rest = Starlette(routes=[Route(path, told, methods=every) for path, told in others.items()])
    return _Receivers(taken, rest)


class _Receivers:
    """What is taken goes straight to its handler: routes and middlewares of a framework, which this
    needs none of, are a third of what a small request costs."""

    def __init__(self, taken: Mapping[str, Handler], rest: ASGIApp) -> None:
        self._taken = taken
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._taken.get(scope["path"]) if scope["type"] == "http" else None
        if handler is None:
            await self._rest(scope, receive, send)
        else:
            response = await handler(Request(scope, receive))
            await response(scope, receive, send)


def content_type(request: Request) -> str:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind in ("application/protobuf", PROTOBUF):
        return PROTOBUF
    if kind == JSON:
        return kind
    raise UnknownEncoding(f"Content-Type {kind!r}: expected {PROTOBUF} or {JSON}")


def answering(handler: Handler, refusals: Refusals, error: _Error | None = None) -> Handler:
    """Turn any error into what `error` makes of it, the Status that OTLP asks for unless told
    otherwise: a bug of ours is never a 500."""
    told = error or _error

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except NovaCronError as err:
            refusals.add(err)
            return told(request, err)
        except ClientDisconnect:
            refusals.add(Refusal.GONE)
            return Response(status_code=400)  # nobody reads it
        except Exception:  # the outermost edge of one request
            log.exception("a request failed")
            failure = Unavailable("the collector failed; its log has the details")
            refusals.add(failure)
            return told(request, failure)

    return answer


def _error(request: Request, err: NovaCronError) -> Response:
    json = request.headers.get("content-type", "").lower().startswith(JSON)
    answer = encoded(status(err), JSON if json else PROTOBUF, err.status)
    answer.headers.update(headers(err))
    return answer


def encoded(message: Any, kind: str, code: int) -> Response:
    body = MessageToJson(message, indent=None) if kind == JSON else message.SerializeToString()
    return Response(body, code, media_type=kind)
