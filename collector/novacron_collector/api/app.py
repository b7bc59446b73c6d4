"""The Flask application: its routes, its limits, and what an error looks like."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from flask import Flask, Response, request
from flask.json.provider import JSONProvider
from werkzeug.exceptions import BadRequest, HTTPException

from novacron_collector.api import (
    agents,
    audit,
    commands,
    export,
    hosts,
    identities,
    ingest_tokens,
    join_tokens,
    metrics,
    openapi,
    operations,
    schedules,
    series,
    sessions,
    sql,
    status,
    tokens,
    users,
    vms,
)
from novacron_collector.api.guard import guard
from novacron_collector.api.services import Services
from novacron_collector.trusted_names import TrustedNames
from novacron_contract.errors import NovaCronError, Unauthenticated

log = logging.getLogger(__name__)

MAX_BODY = 1024**2
RETRY_AFTER_S = 5

_TELEMETRY = (status, hosts, vms, agents, metrics, series, export, sql, openapi)
_ACCESS = (sessions, users, tokens, audit)
_ENROLMENT = (identities, join_tokens, ingest_tokens)
_COMMANDS = (operations, commands, schedules)
_ROUTES = (*_TELEMETRY, *_ACCESS, *_ENROLMENT, *_COMMANDS)


def create_app(services: Services) -> Flask:
    app = Flask("novacron_collector.api", static_folder=None)
    app.json = OrjsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    _require_trusted(app, TrustedNames.of(services.trusted_hosts))
    for routes in _ROUTES:
        app.register_blueprint(routes.blueprint(services))
    guard(app, services.access)
    app.register_error_handler(NovaCronError, _our_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _surprise)
    app.after_request(_not_cached)
    return app


def _require_trusted(app: Flask, trusted: TrustedNames) -> None:
    """Before anything else. Flask's own check knows no addresses of IPv6."""

    def check() -> None:
        host = request.headers.get("Host", "")
        if not trusted.has_host(host):
            raise BadRequest(f"Host {host[:80]!r} is not trusted.")

    app.before_request(check)


class OrjsonProvider(JSONProvider):
    """Dataclasses and times as they are; NaN and infinities become null."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return orjson.dumps(obj, option=orjson.OPT_UTC_Z).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)


def _our_error(err: NovaCronError) -> Response:
    answer = _error(type(err).__name__, str(err), err.status)
    if err.retryable:
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(err, Unauthenticated):
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _http_error(err: HTTPException) -> Response:
    answer = _error(err.name.replace(" ", ""), err.description or err.name, err.code or 500)
    for name, value in err.get_headers():
        if name == "Allow":
            answer.headers[name] = value
    return answer


def _surprise(err: Exception) -> Response:
    """The outermost edge: the sender learns nothing, the log everything."""
    log.error("a request failed", exc_info=err)
    return _error("InternalError", "this is a defect; the collector's log has the details", 500)


def _error(name: str, message: str, code: int) -> Response:
    body = orjson.dumps({"error": name, "message": message})
    return Response(body, code, mimetype="application/json")


def _not_cached(answer: Response) -> Response:
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer
