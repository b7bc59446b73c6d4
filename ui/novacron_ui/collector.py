"""The collector's REST API, asked for whoever sits at the browser, and for the UI itself."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from novacron_contract.errors import ConfigError, Unavailable
from novacron_contract.settings import read_secret

TIMEOUT_S = 15.0
CONNECTIONS = 64
HELD = 384  # a page that follows an operation holds one
MAX_ANSWER = 16 * 2**20

BROWSER: ContextVar[str] = ContextVar("browser", default="")  # the address of who asks us


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    content: bytes

    def json(self) -> Any:
        """None where it is no JSON."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            return None


@dataclass(frozen=True, slots=True)
class OwnToken:
    """What the UI itself is known by. The file is read each time: it may be renewed."""

    file: Path | None = None

    def headers(self) -> dict[str, str]:
        """
        Raises:
            ConfigError: the file cannot be read.
        """
        return {} if self.file is None else bearer(read_secret(self.file))


NO_TOKEN = OwnToken()


@dataclass(frozen=True)
class Collector:
    """`http` and `held` belong to one event loop. Answers that are held have connections of their
    own: neither a login nor who somebody is waits for those."""

    url: str
    http: httpx.AsyncClient
    held: httpx.AsyncClient

    async def close(self) -> None:
        await self.http.aclose()
        await self.held.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        credential: str | None = None,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        held_s: float = 0.0,
    ) -> Reply:
        """In the name of who has the credential; None: of nobody. The collector is told for which
        address: its audit, and what it allows an address, are not the UI's.

        Raises:
            Unavailable: there is no answer.
        """
        sent = dict(headers or {})
        if browser := BROWSER.get():
            sent["X-Forwarded-For"] = browser
        if credential is not None:
            sent |= bearer(credential)
        if body is not None:
            sent["Content-Type"] = "application/json"
        http = self.held if held_s else self.http
        try:
            request = http.build_request(
                method,
                f"{self.url.rstrip('/')}{path}",
                params=dict(query or {}),
                content=body,
                headers=sent,
                timeout=httpx.Timeout(TIMEOUT_S, read=TIMEOUT_S + held_s),
            )
            return await _answer(http, request)
        except httpx.PoolTimeout as err:
            raise Unavailable("all connections to the collector are in use: try again") from err
        except (httpx.HTTPError, httpx.InvalidURL) as err:
            raise Unavailable(
                f"the collector at {self.url} does not answer: check that novacron-collector runs"
            ) from err


async def _answer(http: httpx.AsyncClient, request: httpx.Request) -> Reply:
    answer = await http.send(request, stream=True)
    try:
        content = bytearray()
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > MAX_ANSWER:
                raise Unavailable(f"the collector's answer is over {MAX_ANSWER >> 20} MiB")
    finally:
        await answer.aclose()
    return Reply(answer.status_code, bytes(content))


def open_collector(url: str, trust: ssl.SSLContext | bool = True) -> Collector:
    def client(most: int) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=32)
        return httpx.AsyncClient(limits=limits, verify=trust, trust_env=False)

    return Collector(url, client(CONNECTIONS), client(HELD))


def trusted(ca_file: Path | None) -> ssl.SSLContext | bool:
    """What a collector's certificate is checked by.

    Raises:
        ConfigError: the file cannot be used.
    """
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as err:
        raise ConfigError(f"collector: ca_file: {ca_file}: cannot be used: {err}") from err


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}
