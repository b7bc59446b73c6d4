"""The collector's four addresses: taken at the start, or one sentence that says what to do."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from novacron_collector.connections import BoundedConfig, BoundedHttp, Connections
from novacron_collector.settings import ListenSettings
from novacron_contract.listening import listen

log = logging.getLogger(__name__)

_OTHER_FILES = 2048  # that may be open beside connections over HTTP and gRPC
_STOP_S = 5  # an open connection is closed that long after a stop
_HANDSHAKE_S = 10.0
_CLOSING_S = 5.0
_MAX_LIVE_MESSAGE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listeners:
    """`otlp_grpc` is an address that was free: gRPC opens its own socket."""

    otlp_grpc: str
    otlp_http: socket.socket
    api: socket.socket
    agents: socket.socket


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
        listen(settings.agents, "listen: agents") as agents,
    ):
        grpc.close()
        yield Listeners(settings.otlp_grpc, http, api, agents)


def open_connections(wanted: int) -> tuple[int, int, int]:
    """How many connections this process may have: over HTTP, of agents, and over gRPC.

    Its limit of open files is raised as far as it may be. Where that is less than three times
    `wanted`, agents get most of it: each has its polls and reports here beside its telemetry.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = hard - _OTHER_FILES
    of_agents = max(16, min(wanted, files * 5 // 8))
    over_http = max(16, min(wanted, (files - of_agents) // 2))
    over_grpc = max(16, min(wanted, files - of_agents - over_http))
    if over_grpc < wanted:
        log.warning(
            "limits: connections: %d over HTTP, %d of agents, and %d over gRPC: "
            "this process may open %d files",
            *(over_http, of_agents, over_grpc, hard),
        )
    return over_http, of_agents, over_grpc


def server(
    app: ASGIApp, connections: Connections, tls: ssl.SSLContext | None = None
) -> uvicorn.Server:
    return _QuietServer(
        BoundedConfig(
            app,
            connections,
            tls,
            log_config=None,
            log_level="error",  # a warning is what a sender did wrong, as often as it likes
            access_log=False,
            server_header=False,
            proxy_headers=False,
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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it, but who does not come to an end of the handshake is left in time."""
        config = self.config
        if config.ssl is None:
            await super().startup(sockets)
            return
        await self.lifespan.startup()
        assert isinstance(config, BoundedConfig)
        protocol = partial(BoundedHttp, config, self.server_state, {})
        self.servers = [
            await asyncio.get_running_loop().create_server(
                protocol,
                sock=sock,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=_HANDSHAKE_S,
                ssl_shutdown_timeout=_CLOSING_S,
            )
            for sock in sockets or []
        ]
        self.started = True
