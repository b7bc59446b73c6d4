"""HTTP connections, bounded: how many there are, how long one may wait, how long a head may be,
and how long an answer may be left untaken.

uvicorn answers requests well, and trusts whoever opens a connection to send one: a connection that
sends nothing, half a head, or a head without an end is kept for ever, and is not counted. Here a
connection without a request has `idle_s` to come up with the head of one. When too many are open,
the one that has waited longest makes room, so that many idle ones keep nobody out. One that takes
nothing of its answer (taking.py) is closed: a thread waits for it, and a place among others.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import OrderedDict
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from novacron_collector.channel.peer import PEER, Peer, peer_of
from novacron_collector.taking import Taking

log = logging.getLogger(__name__)

GONE = "novacron.gone"  # in a request's scope: whether nobody waits for its answer any more
_SAID_EVERY_S = 60
_MAX_HEAD_BYTES = 64 * 1024
_MAX_PIPELINED = 8
_MAX_SAID = 100  # of a path, which whoever asks chooses


class Connections:
    """Those of one server, in one event loop."""

    def __init__(
        self, max_open: int, idle_s: float, stalled_s: float = 30, send_s: float = 3600
    ) -> None:
        self._max_open = max_open
        self.idle_s = idle_s
        self.stalled_s = stalled_s
        self.send_s = send_s
        self._said: float | None = None
        self._unsaid = 0
        self._waiting: OrderedDict[BoundedHttp, float] = OrderedDict()  # since when; oldest first
        self._timer: asyncio.TimerHandle | None = None
        self.open = 0
        self.expired = 0  # closed because they sent no request in time
        self.evicted = 0  # closed to make room for another
        self.stalled = 0  # closed because they did not take their answer

    def opened(self, connection: BoundedHttp) -> None:
        self.open += 1
        self.waits(connection)
        if self.open > self._max_open:
            self.evicted += 1
            self._close_oldest()

    def waits(self, connection: BoundedHttp) -> None:
        """It has no request."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = asyncio.get_running_loop().time()
        self._set_timer()

    def works(self, connection: BoundedHttp) -> None:
        """It has one."""
        self._waiting.pop(connection, None)

    def closed(self, connection: BoundedHttp) -> None:
        self.open -= 1
        self._waiting.pop(connection, None)

    def stalls(self, connection: BoundedHttp, what: str) -> None:
        """It does not take its answer. The log says so once a minute at most."""
        self.stalled += 1
        self._unsaid += 1
        connection.transport.abort()
        now = asyncio.get_running_loop().time()
        if self._said is None or now >= self._said + _SAID_EVERY_S:
            more = f" ({self._unsaid} since the last such line)" if self._unsaid > 1 else ""
            log.warning("closed the connection of %s%s", what, more)
            self._said, self._unsaid = now, 0

    def _close_oldest(self) -> None:
        connection, _ = self._waiting.popitem(last=False)
        connection.transport.abort()  # not close(): that waits for a peer that reads nothing

    def _set_timer(self) -> None:
        if self._timer is None and self._waiting:
            due = next(iter(self._waiting.values())) + self.idle_s
            self._timer = asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        self._timer = None
        oldest = asyncio.get_running_loop().time() - self.idle_s
        while self._waiting and next(iter(self._waiting.values())) <= oldest:
            self.expired += 1
            self._close_oldest()
        self._set_timer()


class BoundedConfig(uvicorn.Config):
    """uvicorn's settings of a server whose connections are bounded."""

    def __init__(
        self,
        app: Any,
        connections: Connections,
        tls: ssl.SSLContext | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(
            app,
            http=BoundedHttp,
            timeout_keep_alive=int(connections.idle_s) + 1,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
            **settings,
        )
        self.connections = connections


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol, which says when a connection waits and when it works."""

    def __init__(
        self,
        config: BoundedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._others = config.connections
        self._counted = False
        self._unread = 0  # bytes since the parser came to the end of a head or to a piece of body
        self._taking: Taking | None = None
        self._peer: Peer | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._counted = True
        self._peer = peer_of(transport.get_extra_info("ssl_object"))
        others = self._others
        self._taking = Taking(transport, others.stalled_s, others.send_s, self._stalls)
        others.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._taking is not None:
            self._taking.waits()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taking is not None:
            self._taking.flows()

    def handle_websocket_upgrade(self) -> None:
        self._leave()  # from now on it is the live feed's, which has its own limit
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > _MAX_HEAD_BYTES or len(self.pipeline) > _MAX_PIPELINED:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        self._unread = 0
        self._others.works(self)
        super().on_headers_complete()
        scope = cast(dict[str, Any], self.scope)
        scope[GONE] = self.transport.is_closing
        scope[PEER] = self._peer

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._taking is not None:
            self._taking.answered()
        if self._counted and not self.pipeline:
            self._others.waits(self)

    def _stalls(self, why: str) -> None:
        client = ":".join(map(str, self.client or ("somebody",)))
        path = str(self.cycle.scope["path"])[:_MAX_SAID] if self.cycle else ""
        self._others.stalls(self, f"{client}, which {why}: the answer to {path!r}")

    def _leave(self) -> None:
        if self._taking is not None:
            self._taking.flows()
            self._taking = None
        if self._counted:
            self._counted = False
            self._others.closed(self)
