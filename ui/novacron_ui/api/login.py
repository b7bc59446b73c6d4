"""POST a name and a password for a cookie, POST to log out; GET who is logged in."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from novacron_contract.errors import BadMessage, Unavailable
from novacron_store.state.credentials import has_form
from novacron_ui.access import cookie
from novacron_ui.access.gate import admission
from novacron_ui.access.visitors import VISITOR, Visitors
from novacron_ui.api.answers import answering, read_json, relayed
from novacron_ui.visitor import shown

MAX_BODY = 8 * 1024


def routes(visitors: Visitors) -> list[Route]:
    collector = visitors.collector

    async def log_in(request: Request) -> Response:
        name, password = _parse((await read_json(request, MAX_BODY))[1])
        body = orjson.dumps({"name": name, "password": password})
        reply = await collector.ask("POST", "/v1/sessions", body=body)
        if reply.status != 201:
            return relayed(reply)
        credential = _credential(reply.json())
        response = JSONResponse({"name": name}, headers={"Cache-Control": "no-store"})
        cookie.give(response, request, credential)
        await _end(admission(request).credential)
        return response

    async def log_out(request: Request) -> Response:
        """The cookie goes in any case."""
        await read_json(request, MAX_BODY)
        ended = await _end(admission(request).credential)
        response = JSONResponse({"ended": ended}, headers={"Cache-Control": "no-store"})
        cookie.take_back(response, request)
        return response

    async def who(_request: Request) -> Response:
        return JSONResponse(shown(VISITOR.get()), headers={"Cache-Control": "no-store"})

    async def _end(credential: str | None) -> bool:
        if credential is None:
            return True
        try:
            reply = await collector.ask("DELETE", "/v1/sessions", credential)
        except Unavailable:
            return False
        finally:
            visitors.forget(credential)
        return reply.status in (200, 401)

    return [
        Route("/api/login", answering(log_in), methods=["POST"]),
        Route("/api/logout", answering(log_out), methods=["POST"]),
        Route("/api/self", answering(who), methods=["GET"]),
    ]


def _parse(body: Any) -> tuple[str, str]:
    match body:
        case {"name": str(name), "password": str(password), **rest} if not rest:
            return name, password
    raise BadMessage("expected a name and a password")


def _credential(body: Any) -> str:
    match body:
        case {"token": str(token)} if has_form(token, cookie.PREFIX):
            return token
    raise Unavailable("the collector's answer has no session in it")
