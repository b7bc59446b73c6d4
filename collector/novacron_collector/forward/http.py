"""OTLP over HTTP to one destination: protobuf, gzip, TLS, through a proxy where one is set."""

from __future__ import annotations

import gzip
import ssl
import time
import urllib.parse

import httpx
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from novacron_collector.forward.answer import (
    Accepted,
    Answer,
    Doubtful,
    Later,
    Refused,
    TooLarge,
    accepted,
    one_line,
    wait_of,
)
from novacron_collector.forward.settings import ForwardSettings
from novacron_contract.destinations import Compression
from novacron_contract.errors import ConfigError

_PROTOBUF = "application/x-protobuf"
_MAX_ANSWER = 64 * 1024  # bytes of it that are read
_GZIP_LEVEL = 1  # 5 takes twice the CPU time for 6 % fewer bytes
# The way to the destination or our rights there are at fault, not what we send: it waits.
_LATER = frozenset({401, 403, 404, 405, 407, 408, 425, 429, 502, 503, 504})


class HttpTransport:
    """
    Raises:
        ConfigError: a file that the settings name cannot be used.
    """

    def __init__(self, settings: ForwardSettings, agent: str) -> None:
        self._url = _url(settings.url)
        self._gzip = settings.compression is Compression.GZIP
        headers = {"User-Agent": agent, **settings.all_headers(), "Content-Type": _PROTOBUF}
        if self._gzip:
            headers["Content-Encoding"] = "gzip"
        # Not the environment's proxies: where measurements go is told by the settings alone.
        self._client = httpx.Client(
            headers=headers, verify=_tls(settings), proxy=settings.proxy, trust_env=False
        )

    def send(self, body: bytes, timeout: float) -> Answer:
        deadline = time.monotonic() + timeout
        content = gzip.compress(body, _GZIP_LEVEL, mtime=0) if self._gzip else body
        try:
            with self._client.stream("POST", self._url, content=content, timeout=timeout) as answer:
                return _meaning(answer, _read(answer, deadline))
        except httpx.TimeoutException:
            return Later(f"no answer within {timeout:.3g} s")
        except httpx.HTTPError as err:
            return Later(one_line(str(err)) or type(err).__name__)

    def close(self) -> None:
        self._client.close()


def _url(url: str) -> httpx.URL:
    parts = urllib.parse.urlsplit(url)
    if not parts.path.strip("/"):
        parts = parts._replace(path="/v1/metrics")
    try:
        return httpx.URL(parts.geturl())
    except httpx.InvalidURL as err:
        raise ConfigError(f"url: {err}") from err


def _tls(settings: ForwardSettings) -> ssl.SSLContext:
    """The system's authorities, or the one in `ca_file` alone."""
    if not (settings.uses_tls or (settings.proxy or "").startswith("https:")):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading authorities takes a while
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None and settings.key_file is not None:
            # The key's pass phrase would be asked for on a terminal.
            context.load_cert_chain(settings.cert_file, settings.key_file, password="")
    except (OSError, ssl.SSLError) as err:
        files = (settings.ca_file, settings.cert_file, settings.key_file)
        named = ", ".join(str(file) for file in files if file is not None)
        raise ConfigError(f"{named}: cannot be used: {err.strerror or err}") from err
    return context


def _read(answer: httpx.Response, deadline: float) -> bytes:
    """Whoever answers byte by byte, or without end, is left in time."""
    content = b""
    for part in answer.iter_raw():
        content += part
        if len(content) >= _MAX_ANSWER:
            break
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer does not end")
    return content


def _meaning(answer: httpx.Response, content: bytes) -> Answer:
    code = answer.status_code
    if answer.is_success:
        return accepted(content) if _is_protobuf(answer) else Accepted()
    reason = f"HTTP {code} {_said(answer, content)}".strip()
    if code in _LATER or answer.has_redirect_location:
        return Later(reason, wait_of(answer.headers.get("Retry-After", "")))
    if code == 413:
        return TooLarge(reason)
    return Doubtful(reason) if code == 500 else Refused(reason)


def _is_protobuf(answer: httpx.Response) -> bool:
    plain = answer.headers.get("Content-Encoding", "identity") == "identity"
    return plain and str(answer.headers.get("Content-Type", "")).startswith(_PROTOBUF)


def _said(answer: httpx.Response, content: bytes) -> str:
    if not _is_protobuf(answer):
        return one_line(content.decode("utf-8", "replace"))
    try:
        return one_line(Status.FromString(content).message)
    except DecodeError:
        return ""
