"""The login page: by itself, or in place of a page that is not for everybody."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from novacron_ui.access import cookie

_LONGEST = 2000
_ENDED = "Your session is over. Log in again to go on."
_NEEDED = "Log in to see this page."


@dataclass(frozen=True, slots=True)
class LoginPage:
    """`template` has {next}, {notice}, {state} left to fill."""

    template: str

    async def alone(self, request: Request) -> Response:
        """GET /login?next=/machine/web-1"""
        return self._page(own_path(request.query_params.get("next", "/")))

    def instead_of(self, request: Request, *, was_logged_in: bool) -> Response:
        """At the page's own URL, which stays; the cookie of a session that is over goes."""
        query = f"?{request.url.query}" if request.url.query else ""
        path = own_path(request.scope["raw_path"].decode("latin-1") + query)
        response = self._page(path, _ENDED if was_logged_in else _NEEDED, status=401)
        if was_logged_in:
            cookie.take_back(response, request)
        return response

    def away(self, why: str) -> Response:
        sentence = f"{why[:1].upper()}{why[1:]}. This page tries again by itself."
        return self._page("/", sentence, status=503, state="away", headers={"Retry-After": "5"})

    def _page(
        self,
        then: str,
        notice: str = "",
        *,
        status: int = 200,
        state: str = "login",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        page = self.template
        for name, value in (("next", then), ("notice", notice), ("state", state)):
            page = page.replace(f"{{{name}}}", html.escape(value))
        return HTMLResponse(page, status, {"Cache-Control": "no-store", **(headers or {})})


def own_path(text: str) -> str:
    """A path of ours, or "/": nobody is sent elsewhere after a login.

    Browsers drop tabs and newlines from a URL, and read a backslash as a slash.
    """
    is_plain = text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    if not is_plain or len(text) > _LONGEST or not text.startswith("/") or text.startswith("//"):
        return "/"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or parts.path.startswith(("/login", "/api/", "/_", "/assets/")):
        return "/"
    return text
