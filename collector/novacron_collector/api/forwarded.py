"""For which address a proxy asks: believed of proxies that are ours, where it is an address."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

VIA = "novacron.via"  # in the scope: the address of the proxy that was believed
_PEER = "novacron.peer"


class Forwarded:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, proxies: Sequence[str]) -> None:
        self._app = app
        self._told: Any = ProxyHeadersMiddleware(cast(Any, self._checked), list(proxies))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_PEER] = scope.get("client")
        await self._told(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer, client = scope[_PEER], scope.get("client")
        if client != peer and client is not None and peer is not None:
            if _is_address(client[0]):
                scope[VIA] = peer[0]
            else:
                scope["client"] = peer
        await self._app(scope, receive, send)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
