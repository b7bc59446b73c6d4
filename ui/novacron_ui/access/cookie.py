"""The cookie that holds a session: no script reads it, no other site sends it.

Under HTTPS its name starts with `__Host-`: browsers take such a one from this host alone, with
Secure and for every path, so that nobody can plant one from another name or without TLS.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from starlette.requests import HTTPConnection
from starlette.responses import Response

from novacron_store.state.credentials import has_form

NAME = "novacron-session"
PREFIX = "nvs_"  # of a session


def is_secure(connection: HTTPConnection) -> bool:
    return connection.scope["scheme"] in ("https", "wss")


def read(connection: HTTPConnection) -> str | None:
    """The session's credential, where the browser has one. What cannot be one is none, and nobody
    is asked about it."""
    name, found = _name(connection), []
    for header in connection.headers.getlist("cookie"):
        try:
            cookies = SimpleCookie(header)
        except CookieError:
            continue
        found += [cookies[name].value] if name in cookies else []
    return next((value for value in found if has_form(value, PREFIX)), None)


def give(response: Response, connection: HTTPConnection, credential: str) -> None:
    """It ends with the browser; the session itself ends earlier or later, as the collector says."""
    response.set_cookie(
        _name(connection),
        credential,
        path="/",
        secure=is_secure(connection),
        httponly=True,
        samesite="strict",
    )


def take_back(response: Response, connection: HTTPConnection) -> None:
    response.delete_cookie(
        _name(connection),
        path="/",
        secure=is_secure(connection),
        httponly=True,
        samesite="strict",
    )


def _name(connection: HTTPConnection) -> str:
    return f"__Host-{NAME}" if is_secure(connection) else NAME
