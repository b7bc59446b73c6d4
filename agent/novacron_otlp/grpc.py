"""OTLP over gRPC to one destination. Imported where one is configured alone: it is large."""

from __future__ import annotations

import math
import ssl
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from novacron_contract.errors import BadMessage, ConfigError
from novacron_otlp.answer import (
    NO_RIGHTS,
    WHO_WE_ARE,
    Answer,
    Doubtful,
    Later,
    Refused,
    TooLarge,
    accepted,
    bounded_wait,
    one_line,
)
from novacron_otlp.client import Client
from novacron_otlp.settings import ClientSettings, Compression

_EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
_DETAILS = "grpc-status-details-bin"
_CODES = grpc.StatusCode
# The body is at fault. Every other answer may become better.
_HOPELESS = {_CODES.INVALID_ARGUMENT, _CODES.FAILED_PRECONDITION, _CODES.ALREADY_EXISTS}
_DOUBTFUL = {_CODES.INTERNAL, _CODES.UNKNOWN}
_SPLIT_FROM = 64 * 1024  # bytes: what is smaller is refused for its size only if that is said
_RIGHTS = {_CODES.UNAUTHENTICATED: WHO_WE_ARE, _CODES.PERMISSION_DENIED: NO_RIGHTS}


class GrpcTransport:
    """
    Raises:
        ConfigError: a file that the settings name cannot be used.
    """

    def __init__(self, settings: ClientSettings, client: Client) -> None:
        self._client = client
        self._timeout = settings.timeout
        self.date = ""
        self._headers = settings.all_headers()
        zipped = settings.compression is Compression.GZIP
        self._compression = grpc.Compression.Gzip if zipped else grpc.Compression.NoCompression
        self._channel = _channel(settings, client)
        self._export: Callable[..., Any] = self._channel.unary_unary(_EXPORT)

    def send(self, body: bytes, within: float = math.inf) -> Answer:
        try:
            plain = self._client.body(body, Compression.NONE)
        except BadMessage as err:
            return Refused(str(err))
        headers = {**self._headers, **self._client.clock()}
        try:
            response = self._export(
                plain,
                timeout=min(self._timeout, within),
                metadata=[(name.lower(), text) for name, text in headers.items()],
                compression=self._compression,
            )
        except grpc.RpcError as err:
            return _meaning(err, len(plain))
        return accepted(response)

    def close(self) -> None:
        self._channel.close()


def _channel(settings: ClientSettings, client: Client) -> Any:
    address = urllib.parse.urlsplit(settings.target).netloc
    environment = client.environment and not settings.is_here
    options: list[tuple[str, Any]] = [
        ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection
        ("grpc.enable_http_proxy", int(environment or settings.proxy is not None)),
        ("grpc.primary_user_agent", client.user_agent),
    ]
    if settings.proxy is not None:
        options.append(("grpc.http_proxy", settings.proxy))
    if not settings.uses_tls:
        return grpc.insecure_channel(address, options)
    credentials = grpc.ssl_channel_credentials(
        _read(settings.ca_file or _system_authorities()),
        _read(settings.key_file),
        _read(settings.cert_file),
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
            return bounded_wait(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None
