"""OTLP over gRPC to one destination. Imported where one is configured alone: it is large."""

from __future__ import annotations

import gzip
import ssl
import time
import urllib.parse
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from novacron_agent.delivery.answer import (
    Answer,
    Doubtful,
    Later,
    Refused,
    TooLarge,
    bounded_wait,
    delivered,
    one_line,
)
from novacron_agent.delivery.destination import Destination
from novacron_contract.destinations import Compression
from novacron_contract.errors import ConfigError
from novacron_contract.metrics import SENT_AT_HEADER

_EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
_DETAILS = "grpc-status-details-bin"
_CODES = grpc.StatusCode
# The body is at fault. Every other answer may become better.
_HOPELESS = {_CODES.INVALID_ARGUMENT, _CODES.FAILED_PRECONDITION, _CODES.ALREADY_EXISTS}
_DOUBTFUL = {_CODES.INTERNAL, _CODES.UNKNOWN}
_SPLIT_FROM = 64 * 1024  # bytes: what is smaller is refused for its size only if that is said
_RIGHTS = {
    _CODES.UNAUTHENTICATED: "it wants to know who we are: see headers_file, cert_file",
    _CODES.PERMISSION_DENIED: "we may not write there: see headers_file, cert_file",
}


class GrpcTransport:
    """
    Raises:
        ConfigError: a file that the settings name cannot be used.
    """

    def __init__(self, destination: Destination, agent: str) -> None:
        self._timeout = destination.timeout
        self.date = ""
        headers = destination.all_headers()
        self._metadata = [(name.lower(), text) for name, text in headers.items()]
        zipped = destination.compression is Compression.GZIP
        self._compression = grpc.Compression.Gzip if zipped else grpc.Compression.NoCompression
        self._channel = _channel(destination, agent)
        self._export: Callable[..., Any] = self._channel.unary_unary(_EXPORT)

    def send(self, body: bytes) -> Answer:
        sent_at = (SENT_AT_HEADER.lower(), str(time.time_ns() // 1_000_000))
        size = 0
        try:
            plain = gzip.decompress(body)
            size = len(plain)
            response = self._export(
                plain,
                timeout=self._timeout,
                metadata=[*self._metadata, sent_at],
                compression=self._compression,
            )
        except (OSError, EOFError, zlib.error) as err:
            return Refused(f"the disk did not give it back: {one_line(str(err))}")
        except grpc.RpcError as err:
            return _meaning(err, size)
        return delivered(response)

    def close(self) -> None:
        self._channel.close()


def _channel(destination: Destination, agent: str) -> Any:
    address = urllib.parse.urlsplit(destination.endpoint).netloc
    environment = destination.proxy is None and not destination.is_here
    options: list[tuple[str, Any]] = [
        ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection
        ("grpc.enable_http_proxy", int(environment or destination.proxy is not None)),
        ("grpc.primary_user_agent", agent),
    ]
    if destination.proxy is not None:
        options.append(("grpc.http_proxy", destination.proxy))
    if not destination.uses_tls:
        return grpc.insecure_channel(address, options)
    credentials = grpc.ssl_channel_credentials(
        _read(destination.ca_file or _system_authorities()),
        _read(destination.key_file),
        _read(destination.cert_file),
    )
    return grpc.secure_channel(address, credentials, options)


def _system_authorities() -> Path | None:
    file = ssl.get_default_verify_paths().cafile
    return Path(file) if file else None


def _read(file: Path | None) -> bytes | None:
    try:
        return file.read_bytes() if file is not None else None
    except OSError as err:
        raise ConfigError(f"{file}: cannot be used: {err.strerror}") from err


def _meaning(err: Any, size: int) -> Answer:
    code, details = err.code(), one_line(err.details() or "")
    reason = " ".join(filter(None, (f"gRPC {code.name}", details, _RIGHTS.get(code))))
    wait = _retry_info(err)
    if code in _HOPELESS:
        return Refused(reason)
    if code is _CODES.RESOURCE_EXHAUSTED and wait is None:
        large = size > _SPLIT_FROM or "larger than" in details or "too large" in details
        return TooLarge(reason) if large else Doubtful(reason)  # some mean a quota by it
    if code in _DOUBTFUL:
        return Doubtful(reason)
    return Later(reason, wait or 0.0, unreachable="failed to connect" in details.lower())


def _retry_info(err: Any) -> float | None:
    """Seconds to wait, where the destination says that waiting helps."""
    trailing = dict(err.trailing_metadata() or ())
    try:
        details = Status.FromString(trailing.get(_DETAILS, b"")).details
    except DecodeError:
        return None
    for detail in details:
        info = RetryInfo()
        if detail.Is(RetryInfo.DESCRIPTOR) and detail.Unpack(info):
            return bounded_wait(info.retry_delay.ToTimedelta().total_seconds())
    return None
