"""WebSocket /v1/live: subscribe, and be told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.websockets import WebSocket, WebSocketDisconnect

from novacron_collector.live.hub import Client, Hub, parse_subscription
from novacron_contract.errors import BadMessage, Unavailable

_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013
_REASON_BYTES = 120  # a close frame holds 123


def endpoint(hub: Hub, trusted_hosts: tuple[str, ...]) -> Callable[[WebSocket], Awaitable[None]]:
    """`trusted_hosts`: the names this server may be asked by, and pages may come from."""

    async def live(socket: WebSocket) -> None:
        if not _is_trusted(socket, trusted_hosts):
            await socket.close(_POLICY_VIOLATION)
            return
        await socket.accept()
        try:
            client = hub.join()
        except Unavailable as err:
            await socket.close(_TRY_AGAIN_LATER, str(err))
            return
        sender = asyncio.create_task(_send(socket, client))
        try:
            await _receive(socket, hub, client)
        finally:
            hub.leave(client)
            sender.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await sender

    return live


async def _receive(socket: WebSocket, hub: Hub, client: Client) -> None:
    try:
        while True:
            subscription = parse_subscription(await socket.receive_text())
            # A whole fleet's newest values take a while: receivers share this loop.
            await asyncio.to_thread(hub.subscribe, client, subscription)
    except BadMessage as err:
        reason = str(err).encode()[:_REASON_BYTES].decode(errors="ignore")
        await socket.close(_POLICY_VIOLATION, reason)
    except KeyError:  # a binary message has no text
        await socket.close(_POLICY_VIOLATION, "expected a text message")
    except WebSocketDisconnect:
        pass


async def _send(socket: WebSocket, client: Client) -> None:
    while True:
        await socket.send_text(await client.next_frame())


def _is_trusted(socket: WebSocket, trusted_hosts: tuple[str, ...]) -> bool:
    """A web page elsewhere must not read the feed through its visitor's browser."""
    asked = urlsplit(f"//{socket.headers.get('host', '')}").hostname or ""
    origin = socket.headers.get("origin")
    names = {name.strip("[]") for name in trusted_hosts}
    return asked in names and (origin is None or urlsplit(origin).hostname in names)
