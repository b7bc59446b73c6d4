"""OTLP over gRPC to one destination: MetricsService/Export, gzip, TLS."""

from __future__ import annotations

import ssl
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from novacron_collector.forward.answer import (
    Answer,
    Doubtful,
    Later,
    Refused,
    TooLarge,
    accepted,
    bounded_wait,
    one_line,
)
from novacron_collector.forward.settings import ForwardSettings
from novacron_contract.destinations import Compression
from novacron_contract.errors import ConfigError

_EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
_DETAILS = "grpc-status-details-bin"
_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection
    ("grpc.enable_http_proxy", 0),  # where measurements go is told by the settings alone
]
_SPLIT_FROM = 64 * 1024  # bytes: what is smaller is not refused for its size
_CODES = grpc.StatusCode
# As OTLP lists them, and those that are about the way there or our rights, not about what we send.
_LATER = {
    *(_CODES.UNAVAILABLE, _CODES.DEADLINE_EXCEEDED, _CODES.CANCELLED, _CODES.ABORTED),
    *(_CODES.OUT_OF_RANGE, _CODES.DATA_LOSS),
    *(_CODES.UNAUTHENTICATED, _CODES.PERMISSION_DENIED, _CODES.UNIMPLEMENTED),
}
_DOUBTFUL = {_CODES.INTERNAL, _CODES.UNKNOWN}


class GrpcTransport:
    """
    Raises:
        ConfigError: a file that the settings name cannot be used.
    """

    def __init__(self, settings: ForwardSettings, agent: str) -> None:
        self._channel = _channel(settings, agent)
        self._export: Callable[..., Any] = self._channel.unary_unary(_EXPORT)
        self._metadata = [(name.lower(), text) for name, text in settings.all_headers().items()]
        gzip = settings.compression is Compression.GZIP
        self._compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression

    def send(self, body: bytes, timeout: float) -> Answer:
        try:
            response = self._export(
                body, timeout=timeout, metadata=self._metadata, compression=self._compression
            )
        except grpc.RpcError as err:
            return _meaning(err, len(body))
        return accepted(response)

    def close(self) -> None:
        self._channel.close()


def _channel(settings: ForwardSettings, agent: str) -> Any:
    address = urllib.parse.urlsplit(settings.url).netloc
    options = [*_OPTIONS, ("grpc.primary_user_agent", agent)]
    if not settings.uses_tls:
        return grpc.insecure_channel(address, options)
    authorities = settings.ca_file or _system_authorities()
    credentials = grpc.ssl_channel_credentials(
        _read(authorities), _read(settings.key_file), _read(settings.cert_file)
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
    code = err.code()
    reason = f"gRPC {code.name} {one_line(err.details() or '')}".strip()
    wait = _retry_info(err)
    if code in _LATER:
        return Later(reason, wait or 0.0)
    if code is _CODES.RESOURCE_EXHAUSTED:
        if wait is not None:
            return Later(reason, wait)
        return TooLarge(reason) if size > _SPLIT_FROM else Refused(reason)
    return Doubtful(reason) if code in _DOUBTFUL else Refused(reason)


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
