"""What a browser may send us and what it may load: Host, Origin and the security headers.

Every page the user has open can reach this server, on loopback, too. Two checks keep those pages
out: the Host header must name us (a rebound DNS name does not), and a request that
carries an Origin must come from our own pages.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_POLICY_VIOLATION = 1008
# The browser asks without TLS no more: by names that are ours alone, which localhost is not.
_HSTS = {"Strict-Transport-Security": "max-age=31536000"}


@dataclass(frozen=True)
class Guard:
    """ASGI middleware. `names` are those that browsers may use for us, without the port;
    `script_hashes` those of the inline scripts that Dash writes."""

    app: ASGIApp
    names: Collection[str] = LOOPBACK_NAMES
    script_hashes: Sequence[str] = ()
    _headers: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_headers", _security_headers(self.script_hashes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope))
        if refusal is None:
            await self.app(scope, receive, self._with_headers(scope, send))
        elif scope["type"] == "websocket":
            await WebSocketClose(code=_POLICY_VIOLATION)(scope, receive, send)
        else:
            wrapped = self._with_headers(scope, send)
            await PlainTextResponse(refusal, 403)(scope, receive, wrapped)

    def _refusal(self, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if _name(host) not in self.names:
            return (
                "This server does not answer to that name: add it to allowed_hosts under [ui], "
                "or, where there are none, open it as http://127.0.0.1.\n"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return "Requests from other sites are refused.\n"
        return None

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        is_elsewhere = _name(Headers(scope=scope).get("host", "")) not in LOOPBACK_NAMES
        wanted = self._headers | (_HSTS if scope["scheme"] == "https" and is_elsewhere else {})

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        return wrapped


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _security_headers(script_hashes: Sequence[str]) -> dict[str, str]:
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", *script_hashes]),
        "style-src": "'self' 'unsafe-inline'",  # Dash's components bring <style> elements
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{key} {value}" for key, value in policy.items()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
