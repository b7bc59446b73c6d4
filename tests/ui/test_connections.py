"""The UI's connections to the collector."""

from __future__ import annotations

import asyncio

from novacron_ui.collector import CONNECTIONS, HELD, Reply, open_collector

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def test_nobody_waits_for_those_who_follow_operations() -> None:
    """Nor where they have all the connections that there are for them."""

    async def asked() -> tuple[Reply, list[Reply]]:
        all_held, go_on = asyncio.Semaphore(0), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/v1/operations/" in head:
                all_held.release()
                await go_on.wait()
            writer.write(ANSWER)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=HELD)
        port = server.sockets[0].getsockname()[1]
        collector = open_collector(f"http://127.0.0.1:{port}")
        async with server, asyncio.TaskGroup() as group:
            following = [
                group.create_task(collector.ask("GET", "/v1/operations/x", held_s=25))
                for _ in range(HELD + CONNECTIONS)
            ]
            for _ in range(HELD):
                await all_held.acquire()
            async with asyncio.timeout(5):
                reply = await collector.ask("GET", "/v1/self")
            go_on.set()
        await collector.close()
        return reply, [task.result() for task in following]

    reply, followed = asyncio.run(asked())
    assert reply.status == 200
    assert {each.status for each in followed} == {200}
