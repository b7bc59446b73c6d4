"""OTLP over HTTP to one destination: protobuf, gzip, TLS, proxies."""

from __future__ import annotations

import math
import ssl
import time

import httpx

from novacron_contract.errors import BadMessage, ConfigError
from novacron_otlp.answer import (
    NO_RIGHTS,
    WHO_WE_ARE,
    Accepted,
    Answer,
    Doubtful,
    Later,
    Refused,
    TooLarge,
    accepted,
    number_and_text,
    one_line,
    wait_of,
)
from novacron_otlp.client import Client
from novacron_otlp.settings import ClientSettings, Compression

_PROTOBUF = "application/x-protobuf"
_COMPRESSED = "compressed"
_MAX_ANSWER = 64 * 1024  # bytes of it that are read
_CONNECT_S = 4.0  # TCP has tried three times by then
_HOPELESS = frozenset({400, 409, 415, 422})  # the body is at fault
# The way there, our rights or how much comes are at fault, not what we send: it waits. So it does
# for what a server or a proxy says of itself, but for what may be because of the body.
_LATER = frozenset({401, 402, 403, 404, 405, 407, 408, 425, 429})
_MAYBE_THE_BODY = frozenset({500, 501, 505})
_RIGHTS = {401: WHO_WE_ARE, 403: NO_RIGHTS}


class HttpTransport:
    """
    Raises:
        ConfigError: a file that the settings name cannot be used.
    """

    def __init__(self, settings: ClientSettings, client: Client) -> None:
        self._client = client
        self._compression, self._timeout = settings.compression, settings.timeout
        self.date = ""
        headers = {"User-Agent": client.user_agent, **settings.all_headers()}
        headers["Content-Type"] = _PROTOBUF
        headers["Accept-Encoding"] = "identity"  # it is short, and read up to a limit
        if self._compression is Compression.GZIP:
            headers["Content-Encoding"] = "gzip"
        environment = client.environment and not (settings.proxy or settings.is_here)
        try:
            self._url = httpx.URL(settings.target)
            self._http = httpx.Client(
                headers=headers, verify=_tls(settings), proxy=settings.proxy, trust_env=environment
            )
        except (httpx.InvalidURL, ValueError) as err:
            raise ConfigError(f"its URL or a proxy's is none: {type(err).__name__}") from err

    def send(self, body: bytes, within: float = math.inf) -> Answer:
        try:
            content = self._client.body(body, self._compression)
        except BadMessage as err:
            return Refused(str(err))
        limit = min(self._timeout, within)
        timeout = httpx.Timeout(limit, connect=min(limit, _CONNECT_S))
        deadline = time.monotonic() + limit
        clock = self._client.clock()
        try:
            with self._http.stream(
                "POST", self._url, content=content, headers=clock, timeout=timeout
            ) as response:
                self.date = response.headers.get("Date", "")
                return _meaning(response, _read(response, deadline))
        except (httpx.ConnectError, httpx.ConnectTimeout) as err:
            return Later(one_line(str(err)) or "no connection", unreachable=True)
        except httpx.TimeoutException:
            return Later(f"no answer within {limit:.3g} s")
        except httpx.HTTPError as err:
            return Later(one_line(str(err)) or type(err).__name__)

    def close(self) -> None:
        self._http.close()


def _tls(settings: ClientSettings) -> ssl.SSLContext:
    """The system's authorities, or the one in `ca_file` alone."""
    if not settings.uses_tls and not (settings.proxy or "").startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading authorities takes a while
    files = (settings.ca_file, settings.cert_file, settings.key_file)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None and settings.key_file is not None:
            # The key's pass phrase would be asked for on a terminal.
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
    except (OSError, ssl.SSLError) as err:
        named = ", ".join(str(file) for file in files if file is not None)
        raise ConfigError(f"{named}: cannot be used: {err.strerror or err}") from err
    return context


def _read(response: httpx.Response, deadline: float) -> bytes:
    """Whoever answers byte by byte, or without end, is left in time."""
    content = b""
    for part in response.iter_raw():
        content += part
        if len(content) >= _MAX_ANSWER:
            break
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer does not end")
    return content


def _meaning(response: httpx.Response, content: bytes) -> Answer:
    code = response.status_code
    if response.is_success:
        return accepted(content) if _kind(response) in ("", _PROTOBUF) else Accepted()
    reason = " ".join(filter(None, (f"HTTP {code}", _said(response, content), _RIGHTS.get(code))))
    if code in _HOPELESS:
        return Refused(reason)
    if code == 413:
        return TooLarge(reason)
    if code in _MAYBE_THE_BODY or (response.is_client_error and code not in _LATER):
        return Doubtful(reason)
    return Later(reason, wait_of(response.headers.get("Retry-After", "")))


def _kind(response: httpx.Response) -> str:
    """The answer's media type, "" where none is said; what is compressed we do not read."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return _COMPRESSED
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _said(response: httpx.Response, content: bytes) -> str:
    """The destination's words: by protobuf, a google.rpc.Status."""
    kind = _kind(response)
    if kind == _COMPRESSED:
        return ""
    if kind != _PROTOBUF:
        return one_line(content.decode("utf-8", "replace"))
    try:
        return one_line(number_and_text(content)[1])
    except BadMessage:
        return ""
