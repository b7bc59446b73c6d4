"""The gate before everything that tells data: who is not let in gets no page, no callback, no
socket, nothing but the login page and what that is made of."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from novacron_contract.access import Principal, PrincipalKind
from novacron_contract.errors import NovaCronError, Unauthenticated, Unavailable
from novacron_ui.access import cookie
from novacron_ui.access.pages import LoginPage
from novacron_ui.access.visitors import VISITOR, Visitors
from novacron_ui.collector import BROWSER

log = logging.getLogger(__name__)

PUBLIC = frozenset({"/healthz", "/login", "/api/login", "/api/logout"})
CODE = "/assets/"  # what the pages are made of: the same for everybody, and public anyway
_POLICY_VIOLATION = 1008
_KEY = "novacron.admission"


@dataclass(frozen=True, slots=True)
class Admission:
    """Of one request or socket: who was let in, and by what. `holds` asks again."""

    visitors: Visitors
    credential: str | None
    must_log_in: bool

    async def who(self) -> Principal | None:
        """
        Raises:
            Unavailable: the collector does not answer.
        """
        if self.credential is None and self.must_log_in:
            return None
        principal = await self.visitors.who(self.credential)
        is_nobody = principal is not None and principal.kind is PrincipalKind.ANONYMOUS
        return None if is_nobody and self.must_log_in else principal

    async def holds(self) -> bool:
        try:
            return await self.who() is not None
        except Unavailable:
            return False

    async def end(self, every_s: float) -> None:
        """Until whoever was let in may not stay any more."""
        while await self.holds():
            await asyncio.sleep(every_s)


def admission(connection: HTTPConnection) -> Admission:
    found: Admission = connection.scope[_KEY]
    return found


@dataclass(frozen=True)
class Gate:
    """ASGI middleware. `must_log_in`: everybody, whatever the collector allows."""

    app: ASGIApp
    visitors: Visitors
    page: LoginPage
    must_log_in: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        BROWSER.set(connection.client.host if connection.client else "")
        asked = Admission(self.visitors, cookie.read(connection), self.must_log_in)
        scope[_KEY] = asked
        if _is_public(scope["path"]):
            await self.app(scope, receive, send)
            return
        try:
            VISITOR.set(await self._let_in(asked))
        except NovaCronError as err:
            refused = self._refused(scope, asked, err)
            await refused(scope, receive, send)
            return
        await self.app(scope, receive, _kept_by_nobody(send) if asked.credential else send)

    async def _let_in(self, asked: Admission) -> Principal:
        principal = await asked.who()
        if principal is None:
            raise Unauthenticated("log in first")
        return principal

    def _refused(self, scope: Scope, asked: Admission, why: NovaCronError) -> ASGIApp:
        if scope["type"] == "websocket":
            return WebSocketClose(_POLICY_VIOLATION)
        request = Request(scope)
        if not _is_page(request):
            body = {"error": type(why).__name__, "message": str(why)}
            return JSONResponse(body, why.status)
        if isinstance(why, Unavailable):
            log.warning("%s is not shown: %s", request.url.path, why)
            return self.page.away(str(why))
        return self.page.instead_of(request, was_logged_in=asked.credential is not None)


def _kept_by_nobody(send: Send) -> Send:
    """Who has logged out finds nothing of it in the browser's cache."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault("Cache-Control", "no-store")
        await send(message)

    return wrapped


def _is_public(path: str) -> bool:
    return path in PUBLIC or path.startswith(CODE)


def _is_page(request: Request) -> bool:
    path = request.url.path
    return request.method in ("GET", "HEAD") and not path.startswith(("/api/", "/_"))
