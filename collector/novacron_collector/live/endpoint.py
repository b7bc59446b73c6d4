"""WebSocket /v1/live: subscribe, and be told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from novacron_collector.access.access import Access
from novacron_collector.live.hub import Client, Hub, parse_subscription
from novacron_collector.trusted_names import TrustedNames
from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage, NovaCronError, Unavailable
from novacron_store.state import Caller

_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013
_REASON_BYTES = 120  # a close frame holds 123
_ASK_AGAIN_S = 5.0  # whether who listens still may


def endpoint(
    hub: Hub, trusted_hosts: tuple[str, ...], access: Access
) -> Callable[[WebSocket], Awaitable[None]]:
    """`trusted_hosts`: the names this server may be asked by, and pages may come from."""
    trusted = TrustedNames.of(trusted_hosts)

    async def live(socket: WebSocket) -> None:
        if not _is_trusted(socket, trusted):
            await socket.close(_POLICY_VIOLATION)
            return
        caller = await _let_in(socket, access)
        if caller is None:
            return
        await socket.accept()
        try:
            client = hub.join()
        except Unavailable as err:
            await socket.close(_TRY_AGAIN_LATER, str(err))
            return
        sender = asyncio.create_task(_send(socket, client))
        watch = asyncio.create_task(_watch(socket, access, caller))
        try:
            await _receive(socket, hub, client)
        finally:
            hub.leave(client)
            for task in (sender, watch):
                task.cancel()
                with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                    await task

    return live


async def _let_in(socket: WebSocket, access: Access) -> Caller | None:
    """Who asks; None: they were told that they may not."""
    source = socket.client.host if socket.client else ""
    authorization = socket.headers.get("authorization")
    try:
        caller = await asyncio.to_thread(access.caller, authorization, source)
        await asyncio.to_thread(access.require, caller, Permission.READ)
    except NovaCronError as err:
        body = {"error": type(err).__name__, "message": str(err)}
        headers = {"WWW-Authenticate": "Bearer"} if err.status == 401 else None
        await socket.send_denial_response(JSONResponse(body, err.status, headers))
        return None
    return caller


async def _watch(socket: WebSocket, access: Access, caller: Caller) -> None:
    """Who is logged out, or may not any more, is told nothing more."""
    while True:
        await asyncio.sleep(_ASK_AGAIN_S)
        try:
            if await asyncio.to_thread(access.holds, caller, Permission.READ):
                continue
        except Unavailable:  # nobody can tell now
            continue
        await socket.close(_POLICY_VIOLATION, "the session or token does not hold any more")
        return


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


def _is_trusted(socket: WebSocket, trusted: TrustedNames) -> bool:
    """A web page elsewhere must not read the feed through its visitor's browser."""
    origin = socket.headers.get("origin")
    is_ours = origin is None or trusted.has_origin(origin)
    return is_ours and trusted.has_host(socket.headers.get("host", ""))
