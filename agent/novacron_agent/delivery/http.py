"""OTLP over HTTP to one destination: protobuf, gzip, TLS, proxies."""

from __future__ import annotations

import gzip
import ssl
import time
import zlib

import httpx
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
)

from novacron_agent.delivery.answer import (
    Answer,
    Delivered,
    Doubtful,
    Later,
    Refused,
    TooLarge,
    delivered,
    one_line,
    wait_of,
)
from novacron_agent.delivery.destination import Destination
from novacron_contract.destinations import Compression
from novacron_contract.errors import ConfigError
from novacron_contract.metrics import SENT_AT_HEADER

_PATH = "/v1/metrics"
_PROTOBUF = "application/x-protobuf"
_MAX_ANSWER = 64 * 1024  # bytes of it that are read
_CONNECT_S = 4.0  # TCP has tried three times by then
_HOPELESS = frozenset({400, 415, 422})  # the body is at fault
_RIGHTS = {
    401: "it wants to know who we are: see headers_file, cert_file",
    403: "we may not write there: see headers_file, cert_file",
}


class HttpTransport:
    """
    Raises:
        ConfigError: a file that the settings name cannot be used.
    """

    def __init__(self, destination: Destination, agent: str) -> None:
        self._gzip = destination.compression is Compression.GZIP
        self._timeout = destination.timeout
        self.date = ""
        headers = {"User-Agent": agent, **destination.all_headers(), "Content-Type": _PROTOBUF}
        if self._gzip:
            headers["Content-Encoding"] = "gzip"
        try:
            self._url = httpx.URL(_with_path(destination.endpoint))
            self._client = httpx.Client(
                headers=headers,
                verify=_tls(destination),
                proxy=destination.proxy,
                trust_env=destination.proxy is None and not destination.is_here,
                timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, _CONNECT_S)),
            )
        except (httpx.InvalidURL, ValueError) as err:
            raise ConfigError(f"the endpoint or a proxy is no URL: {type(err).__name__}") from err

    def send(self, body: bytes) -> Answer:
        deadline = time.monotonic() + self._timeout
        sent_at = {SENT_AT_HEADER: str(time.time_ns() // 1_000_000)}
        try:
            content = body if self._gzip else gzip.decompress(body)
            with self._client.stream(
                "POST", self._url, content=content, headers=sent_at
            ) as response:
                self.date = response.headers.get("Date", "")
                return _meaning(response, _read(response, deadline))
        except (OSError, EOFError, zlib.error) as err:
            return Refused(f"the disk did not give it back: {one_line(str(err))}")
        except (httpx.ConnectError, httpx.ConnectTimeout) as err:
            return Later(one_line(str(err)) or "no connection", unreachable=True)
        except httpx.TimeoutException:
            return Later(f"no answer within {self._timeout:g} s")
        except httpx.HTTPError as err:
            return Later(one_line(str(err)) or type(err).__name__)

    def close(self) -> None:
        self._client.close()


def _with_path(endpoint: str) -> str:
    base = endpoint.rstrip("/")
    return base if base.endswith(_PATH) else base + _PATH


def _tls(destination: Destination) -> ssl.SSLContext:
    """The system's authorities, or the one in `ca_file` alone."""
    if not destination.uses_tls and not (destination.proxy or "").startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading authorities takes a while
    files = (destination.ca_file, destination.cert_file, destination.key_file)
    try:
        context = ssl.create_default_context(cafile=destination.ca_file)
        if destination.cert_file is not None and destination.key_file is not None:
            # The key's pass phrase would be asked for on a terminal.
            context.load_cert_chain(destination.cert_file, destination.key_file, password="")
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
        return delivered(content) if _is_plain(response) else Delivered()
    reason = " ".join(filter(None, (f"HTTP {code}", _said(response, content), _RIGHTS.get(code))))
    if code in _HOPELESS:
        return Refused(reason)
    if code == 413:
        return TooLarge(reason)
    if code == 500:
        return Doubtful(reason)
    return Later(reason, wait_of(response.headers.get("Retry-After", "")))


def _is_plain(response: httpx.Response) -> bool:
    return bool(response.headers.get("Content-Encoding", "identity") == "identity")


def _said(response: httpx.Response, content: bytes) -> str:
    """The destination's words. A google.rpc.Status is a number and a text, under the numbers that
    they have in the message of partial success, too."""
    if not _is_plain(response):
        return ""
    if not response.headers.get("Content-Type", "").startswith(_PROTOBUF):
        return one_line(content.decode("utf-8", "replace"))
    try:
        return one_line(ExportMetricsPartialSuccess.FromString(content).error_message)
    except DecodeError:
        return ""
