"""HTTP requests as ClickHouse's interface defines them, with limits on what is read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP

from starlette.requests import Request

from novacron_store.server.compression import chosen, decompress
from novacron_store.server.failures import (
    BAD_ARGUMENTS,
    NOT_IMPLEMENTED,
    TOO_LARGE_BODY,
    EngineError,
)
from novacron_store.server.principals import Passwords, Principal
from novacron_store.server.sessions import DEFAULT_LIFETIME_S
from novacron_store.server.statement import Statement, assemble

# Parameters of the HTTP interface itself; every other one is a setting of the query.
_INTERFACE = frozenset(
    [
        "query",
        "database",
        "default_format",
        "session_id",
        "session_timeout",
        "session_check",
        "query_id",
        "quota_key",
        "user",
        "password",
        "compress",
        "decompress",
        "wait_end_of_query",
        "client_protocol_version",
        "role",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "enable_http_compression",
        "http_zlib_compression_level",
        "buffer_size",
        "stacktrace",
        "close_session",
        "cancel_http_readonly_queries_on_client_close",
    ]
)
_PARAMETER = "param_"
_MAX_READER_BODY = 4 * 1024**2  # a query with its parameters


@dataclass(frozen=True, slots=True)
class Session:
    name: str
    lifetime: float = DEFAULT_LIFETIME_S
    must_exist: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and understood. `encoding`: of the answer's body, "" for none; `waits`:
    for the end of the query, before any of its answer is sent."""

    principal: Principal
    statement: Statement
    database: str
    settings: dict[str, str]
    parameters: dict[str, str]
    session: Session | None
    encoding: str = ""
    waits: bool = False


async def read_call(request: Request, passwords: Passwords, max_body: int) -> Call:
    """Authenticate first, then read the body: a stranger's bytes are not looked at.

    Raises:
        EngineError: not authenticated, too large, not decodable.
    """
    query = dict(request.query_params)
    principal = passwords.authenticate(request.headers, query)
    if principal is Principal.READER:
        max_body = min(max_body, _MAX_READER_BODY)
    body = await _read(request, max_body)
    return await asyncio.to_thread(_call, principal, query, body, request.headers, max_body)


def _call(
    principal: Principal,
    query: dict[str, str],
    body: bytes,
    headers: Mapping[str, str],
    max_body: int,
) -> Call:
    body = decompress(body, headers.get("content-encoding", ""), max_body)
    if len(body) > max_body:
        raise _too_large(max_body)
    content_type = headers.get("content-type", "")
    if content_type.startswith("multipart/form-data"):
        query, body = {**query, **_form_fields(content_type, body)}, b""
    form = headers.get("x-clickhouse-format") or query.get("default_format") or "TabSeparated"
    try:
        statement = assemble(query.get("query", ""), body, form)
    except UnicodeDecodeError as err:
        raise EngineError.of(BAD_ARGUMENTS, "the query is not UTF-8") from err
    return Call(
        principal=principal,
        statement=statement,
        database=query.get("database") or headers.get("x-clickhouse-database", ""),
        settings={
            name: value
            for name, value in query.items()
            if name not in _INTERFACE and not name.startswith(_PARAMETER)
        },
        parameters={
            name[len(_PARAMETER) :]: value
            for name, value in query.items()
            if name.startswith(_PARAMETER)
        },
        session=_session(query),
        encoding=(
            chosen(headers.get("accept-encoding", ""))
            if query.get("enable_http_compression") == "1"
            else ""
        ),
        waits=query.get("wait_end_of_query") == "1",
    )


def _session(query: dict[str, str]) -> Session | None:
    name = query.get("session_id")
    if not name:
        return None
    timeout = query.get("session_timeout", str(int(DEFAULT_LIFETIME_S)))
    if not timeout.isdecimal() or len(name) > 256:
        raise EngineError.of(BAD_ARGUMENTS, "session_id ≤ 256 characters, session_timeout whole s")
    return Session(name, float(timeout[:9]), query.get("session_check") == "1")


async def _read(request: Request, max_body: int) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > max_body:
            raise _too_large(max_body)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(max_body: int) -> EngineError:
    err = EngineError.of(TOO_LARGE_BODY, f"the request is larger than {max_body} bytes")
    err.status = 413
    return err


def _form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of multipart/form-data, as clickhouse-connect sends bound parameters."""
    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body
    )
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = (
            part["content-disposition"].params.get("name")
            if "content-disposition" in part
            else None
        )
        content = part.get_payload(decode=True)
        if name is None or part.get_filename() is not None or not isinstance(content, bytes):
            raise EngineError.of(NOT_IMPLEMENTED, "External data is not supported; use an INSERT")
        try:
            fields[name] = content.decode()
        except UnicodeDecodeError as err:
            raise EngineError.of(BAD_ARGUMENTS, f"the field {name!r} is not UTF-8") from err
    return fields
