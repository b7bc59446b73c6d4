"""`/ws`: a browser's socket. It says what it watches and receives frames."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

from novacron_contract.errors import BadMessage
from novacron_ui.access.gate import admission
from novacron_ui.live.relay import Relay
from novacron_ui.live.topics import parse_watch
from novacron_ui.live.viewer import Viewer

_UNSUPPORTED, LOGGED_OUT = 1003, 4401
_ASK_AGAIN_S = 1.0  # whether who watches still may


def endpoint(relay: Relay) -> Callable[[WebSocket], Awaitable[None]]:
    async def serve(socket: WebSocket) -> None:
        await socket.accept()
        viewer = relay.join()
        tasks = [
            asyncio.create_task(_send(socket, viewer)),
            asyncio.create_task(_close_at_end(socket)),
        ]
        try:
            await _listen(socket, relay, viewer)
        except WebSocketDisconnect:
            pass
        finally:
            relay.leave(viewer)
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                    await task

    return serve


async def _listen(socket: WebSocket, relay: Relay, viewer: Viewer) -> None:
    """The server itself refuses messages over MAX_MESSAGE_BYTES."""
    while True:
        text = await socket.receive_text()
        try:
            relay.watch(viewer, parse_watch(text))
        except BadMessage as err:
            await socket.close(_UNSUPPORTED, str(err)[:120])
            return


async def _send(socket: WebSocket, viewer: Viewer) -> None:
    while True:
        await socket.send_text(await viewer.next_frame())


async def _close_at_end(socket: WebSocket) -> None:
    await admission(socket).end(_ASK_AGAIN_S)
    await socket.close(LOGGED_OUT, "the session is over")
