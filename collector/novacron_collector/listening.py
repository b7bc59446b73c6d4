"""The collector's three addresses: taken at the start, or one sentence that says what to do."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from novacron_collector.settings import ListenSettings
from novacron_contract.errors import ConfigError
from novacron_contract.settings import host_port

_STOP_S = 5  # an open connection is closed that long after a stop
_MAX_LIVE_MESSAGE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listeners:
    """`otlp_grpc` is an address that was free: gRPC opens its own socket."""

    otlp_grpc: str
    otlp_http: socket.socket
    api: socket.socket


@contextmanager
def listeners(settings: ListenSettings) -> Iterator[Listeners]:
    """
    Raises:
        ConfigError: an address cannot be taken.
    """
    with (
        _bind("otlp_grpc", settings.otlp_grpc) as grpc,
        _bind("otlp_http", settings.otlp_http) as http,
        _bind("api", settings.api) as api,
    ):
        grpc.close()
        yield Listeners(settings.otlp_grpc, http, api)


def server(app: Starlette, max_connections: int | None = None) -> uvicorn.Server:
    return _QuietServer(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=_MAX_LIVE_MESSAGE,
            ws_per_message_deflate=False,
            limit_concurrency=max_connections,
            timeout_graceful_shutdown=_STOP_S,
        )
    )


class _QuietServer(uvicorn.Server):
    """Several of them share a process, whose signals are the process's own affair."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bind(name: str, address: str) -> socket.socket:
    host, port = host_port(address)
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
        sock.bind((host, port))
        sock.listen(512)  # from now on a second collector's attempt fails
    except OSError as err:
        sock.close()
        if err.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"listen: {name}: {address} is in use, perhaps by another collector: "
                "stop the program that listens there, or set another address"
            ) from err
        raise ConfigError(f"listen: {name}: {address}: {err.strerror or err}") from err
    return sock
