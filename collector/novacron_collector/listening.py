"""The collector's three addresses: taken at the start, or one sentence that says what to do."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from novacron_collector.connections import BoundedConfig, Connections
from novacron_collector.settings import ListenSettings
from novacron_contract.listening import listen

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
        listen(settings.otlp_grpc, "listen: otlp_grpc") as grpc,
        listen(settings.otlp_http, "listen: otlp_http") as http,
        listen(settings.api, "listen: api") as api,
    ):
        grpc.close()
        yield Listeners(settings.otlp_grpc, http, api)


def allow_files() -> int:
    """Let this process open as many files as its hard limit allows; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def server(app: Starlette, connections: Connections) -> uvicorn.Server:
    return _QuietServer(
        BoundedConfig(
            app,
            connections,
            log_config=None,
            log_level="error",  # a warning is what a sender did wrong, as often as it likes
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=_MAX_LIVE_MESSAGE,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=_STOP_S,
        )
    )


class _QuietServer(uvicorn.Server):
    """Several of them share a process, whose signals are the process's own affair."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
