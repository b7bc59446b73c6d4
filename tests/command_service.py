"""A collector that takes operations over HTTP, holds requests, and has agents; in a thread, so that
programs can ask it. It can be stopped and started again, as after a crash."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from a2wsgi import WSGIMiddleware

from command_world import AgentsPort, World
from commanded_agent import FakeAgent, Journal
from enrolments import enrolment_of
from free_ports import free_port
from novacron_collector.api.app import create_app
from novacron_collector.api.services import Services
from novacron_collector.commands.held import Held
from novacron_contract.commands import Order
from novacron_contract.errors import Unavailable
from novacron_store.state import Agents


def away() -> Any:
    raise Unavailable("the store is away")


@dataclass
class CommandService:
    """`obey`: what an agent does with an order: an error; "": it succeeds. `asked`: requests."""

    world: World
    obey: Callable[[Order], str] = lambda _: ""
    tells: Callable[[Order], Mapping[str, Any]] = lambda _: {}
    duration_s: float = 0.0
    port: int = field(default_factory=free_port)
    asked: list[str] = field(default_factory=list)
    journals: dict[str, Journal] = field(default_factory=dict)
    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        self._thread.start()
        assert ready.wait(30)

    def stop(self) -> None:
        if self._thread is not None and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None

    @contextmanager
    def running(self) -> Iterator[CommandService]:
        self.start()
        try:
            yield self
        finally:
            self.stop()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        world = self.world
        world.commands = world.collector()
        rest = WSGIMiddleware(create_app(self._services()), workers=4)  # type: ignore[arg-type]
        app = Held(rest, world.access, world.commands.progress)  # type: ignore[arg-type]
        server = uvicorn.Server(
            uvicorn.Config(self._noting(app), port=self.port, log_level="warning", lifespan="off")
        )
        async with world.commands.running():
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            port = AgentsPort(world, world.commands)
            agents = [self._agent(port, agent) for agent in world.agent_of.values()]
            living = [asyncio.create_task(one.live()) for one in agents]
            ready.set()
            await self._stop.wait()
            for task in living:
                task.cancel()
            for task in living:
                with suppress(asyncio.CancelledError):
                    await task
            for one in agents:
                await one.client.aclose()
            world.commands.close()
            server.should_exit = True
            await serving

    def _noting(self, app: Any) -> Any:
        async def noted(scope: Any, receive: Any, send: Any) -> None:
            query = scope["query_string"].decode()
            self.asked.append(f"{scope['method']} {scope['path']}{'?' if query else ''}{query}")
            await app(scope, receive, send)

        return noted

    def _agent(self, port: AgentsPort, agent: str) -> FakeAgent:
        return FakeAgent(
            port.client(agent),
            seed=1,
            journal=self.journals.setdefault(agent, Journal()),
            obey=lambda order: self.obey(order),
            tells=lambda order: self.tells(order),
            duration_s=self.duration_s,
            wait_s=20,
        )

    def _services(self) -> Services:
        world = self.world
        return Services(
            inventory=world.inventory,
            agents=Agents(world.engine),
            access=world.access,
            enrolment=enrolment_of(world.engine),
            commands=world.commands,
            telemetry=away,
            reader=away,
            version="0.1.0",
            started=world.clock.now(),
            now=world.clock.now,
        )
