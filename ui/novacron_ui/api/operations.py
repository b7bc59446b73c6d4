"""Operations and commands, asked for and followed in the visitor's own name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from novacron_contract.errors import BadMessage, NotFound, TooMany, Unauthenticated
from novacron_ui.access.gate import admission
from novacron_ui.api.answers import answering, read_json, relayed, while_there
from novacron_ui.collector import Collector

MAX_BODY = 1024 * 1024  # ten thousand ids
MAX_WAIT_S = 25
MAX_HELD = 24  # by one visitor: a page holds one, and only while it is looked at
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_PAGE = frozenset({"limit", "offset", "state"})


def routes(collector: Collector) -> list[Route]:
    held: Counter[str | None] = Counter()

    async def operations(request: Request) -> Response:
        query = _query(request, _PAGE)
        credential = admission(request).credential
        return relayed(await collector.ask("GET", "/v1/operations", credential, query=query))

    async def create(request: Request) -> Response:
        body, _ = await read_json(request, MAX_BODY)
        headers = _idempotency(request)
        asked = collector.ask(
            "POST", "/v1/operations", _logged_in(request), body=body, headers=headers
        )
        return relayed(await asked)

    async def one(request: Request) -> Response:
        """With `after` and `wait`: when it has changed."""
        path, query = _path(request), _query(request, {"after", "wait"})
        credential, wait_s = admission(request).credential, _wait(query)
        if wait_s and held[credential] >= MAX_HELD:
            raise TooMany(f"more than {MAX_HELD} pages follow operations: close some")
        held[credential] += 1
        try:
            asking = collector.ask("GET", path, credential, query=query, held_s=wait_s)
            reply = await while_there(request, asking)
        finally:
            held[credential] -= 1
            if not held[credential]:
                del held[credential]
        return Response(status_code=499) if reply is None else relayed(reply)

    async def cancel(request: Request) -> Response:
        await read_json(request, MAX_BODY)
        path, credential = f"{_path(request)}/cancel", _logged_in(request)
        return relayed(await collector.ask("POST", path, credential))

    async def commands(request: Request) -> Response:
        query = _query(request, _PAGE | {"operation", "vm"})
        credential = admission(request).credential
        return relayed(await collector.ask("GET", "/v1/commands", credential, query=query))

    return [
        Route("/api/operations", answering(operations), methods=["GET"]),
        Route("/api/operations", answering(create), methods=["POST"]),
        Route("/api/operations/{id}", answering(one), methods=["GET"]),
        Route("/api/operations/{id}/cancel", answering(cancel), methods=["POST"]),
        Route("/api/commands", answering(commands), methods=["GET"]),
    ]


def _path(request: Request) -> str:
    operation = request.path_params["id"]
    if not _ID.fullmatch(operation):
        raise NotFound("there is no such operation")
    return f"/v1/operations/{operation}"


def _query(request: Request, allowed: Collection[str]) -> dict[str, str]:
    query = dict(request.query_params)
    if unknown := query.keys() - set(allowed):
        raise BadMessage(f"{min(unknown)[:80]!r}: unknown; allowed: {', '.join(sorted(allowed))}")
    if any(len(value) > 256 for value in query.values()):
        raise BadMessage("a parameter is longer than 256 characters")
    return query


def _wait(query: dict[str, str]) -> int:
    wait = query.get("wait", "0")
    if not re.fullmatch(r"[0-9]{1,2}", wait) or int(wait) > MAX_WAIT_S:
        raise BadMessage(f"wait: expected 0 to {MAX_WAIT_S}")
    return int(wait)


def _idempotency(request: Request) -> dict[str, str]:
    key = request.headers.get("idempotency-key")
    if key is None:
        return {}
    if not _KEY.fullmatch(key):
        raise BadMessage("Idempotency-Key: expected 1 to 128 letters, digits, _ . : or -")
    return {"Idempotency-Key": key}


def _logged_in(request: Request) -> str:
    """Without a credential the collector would be asked in nobody's name.

    Raises:
        Unauthenticated: nobody is logged in.
    """
    credential = admission(request).credential
    if credential is None:
        raise Unauthenticated("log in first")
    return credential
