"""The collector as one process: receivers, pipeline, rollups, inventory, live feed and API."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import cast

import uvicorn
from a2wsgi import WSGIMiddleware
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.types import ASGIApp

from novacron_collector.access.access import make_access
from novacron_collector.admission import Room
from novacron_collector.api.app import MAX_BODY, create_app
from novacron_collector.api.arrival import Arrival
from novacron_collector.api.forwarded import Forwarded
from novacron_collector.api.handover import QUEUED
from novacron_collector.api.services import Services
from novacron_collector.channel.commands import routes as command_routes
from novacron_collector.channel.identification import Identification, make_identification
from novacron_collector.channel.keeper import keep
from novacron_collector.commands.engine import Around, Commands
from novacron_collector.commands.held import Held
from novacron_collector.commands.surroundings import (
    agents_of_hosts,
    memory,
    principal_of,
    states,
)
from novacron_collector.connections import Connections
from novacron_collector.ingest import make_ingest
from novacron_collector.inventory import InventoryKeeper
from novacron_collector.listening import Listeners, open_connections, server
from novacron_collector.live.endpoint import endpoint
from novacron_collector.live.hub import Hub
from novacron_collector.own_metrics.instance import resource
from novacron_collector.own_metrics.process import Uptime
from novacron_collector.own_metrics.readings import Parts
from novacron_collector.own_metrics.reporter import Reporter
from novacron_collector.own_metrics.store_figures import StoreFigures
from novacron_collector.receivers import grpc, http
from novacron_collector.receivers.body import BodyLimits
from novacron_collector.receivers.intake import Intake
from novacron_collector.rollups import RollupThread
from novacron_collector.settings import LimitSettings, Settings
from novacron_collector.sightings import Sightings
from novacron_collector.store import Store
from novacron_contract.errors import ConfigError, NovaCronError, Refused
from novacron_store.state import Agents, Inventory, Users, migrate, open_state
from novacron_store.state.identities import Identities
from novacron_store.telemetry.builder import HeldHours, Index
from novacron_store.telemetry.client import connect, per_thread
from novacron_store.telemetry.retention import Retention

log = logging.getLogger(__name__)

READER = "reader"
_API_THREADS = 8
_API_CONNECTIONS = 1024
_RETRY_S = 2.0  # between attempts to open what is not ready
_GRPC_STOP_S = 3


class Collector:
    """Everything that `run` needs, made and not yet started."""

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        self._settings = settings
        self._password = settings.telemetry.password
        self._reader_password = settings.telemetry.reader_password
        self._state = open_state(settings.state.url)
        self._access = make_access(
            self._state, settings.access, anonymous=settings.lets_anonymous_in
        )
        self._state_problem = "the state database is not opened yet"
        self._started = datetime.now(UTC)
        kept = settings.retention
        self._store = Store(self._connect, Retention(kept.raw, kept.rollup_5m, kept.rollup_1h))
        self._hub = Hub(limits.live_series, limits.live_clients)
        self._telemetry = per_thread(self._connect)
        self._index = Index(behind=self._telemetry, hours=HeldHours())
        self._commands = self._make_commands()
        sightings = Sightings()
        self._inventory = InventoryKeeper(
            Inventory(self._state), Agents(self._state), more=sightings.take
        )
        over_http, of_agents, self._grpc_connections = open_connections(limits.connections)
        self._connections = _connections(over_http, limits)
        self._agent_connections = _connections(of_agents, limits)
        self._api_connections = _connections(_API_CONNECTIONS, limits)
        self._room = Room(int(limits.in_flight), limits.in_flight_requests)
        self._ingest = make_ingest(
            settings,
            self._store,
            observers=(
                lambda committed: self._hub.publish(committed.decoded.batch),
                sightings.see,
            ),
        )
        self._intake = Intake(self._ingest.pipeline, self._room)
        self._uptime = Uptime()
        self._agents = make_identification(settings, self._state)

    async def run(self, listening: Listeners, stop: asyncio.Event) -> None:
        """Serve until `stop`; what was received by then is committed and answered.

        Raises:
            ConfigError: with these settings it can never work.
        """
        await self._open_first()
        limits = self._settings.limits
        bodies = BodyLimits(int(limits.request), int(limits.inflated), limits.receive_time)
        where, agents = self._settings.listen, self._agents
        receivers = http.create_app(
            self._intake, bodies, int(limits.json), limits.points, agents.door(where.otlp_http)
        )
        otlp = server(receivers, self._connections, agents.tls.for_listener(where.otlp_http))
        channel = server(
            agents.channel(self._intake, bodies, command_routes(self._commands)),
            self._agent_connections,
            agents.tls.for_agents(),
        )
        async with AsyncExitStack() as running:
            await running.enter_async_context(self._inventory_and_rollups())
            await running.enter_async_context(self._ingest.writing())
            await running.enter_async_context(_cancelled_at_the_end(keep(agents.tasks())))
            await running.enter_async_context(self._commands.running())
            servers = (
                (otlp, listening.otlp_http),
                (self._api(), listening.api),
                (channel, listening.agents),
            )
            for app, sock in servers:
                await running.enter_async_context(_serving(app, sock))
            await running.enter_async_context(
                _grpc(self._intake, listening.otlp_grpc, self._grpc_limits(), agents)
            )
            await running.enter_async_context(self._ingest.taking())
            await running.enter_async_context(_cancelled_at_the_end(self._keep_open()))
            await running.enter_async_context(self._reporting())
            log.info(
                "receiving OTLP; API and live feed on %s, agents on %s", where.api, where.agents
            )
            await stop.wait()
            self._commands.close()  # who waits comes back, and is not waited for
            log.info("stopping: writing what was received")

    # -- making and keeping ready ---------------------------------------------------------------

    def _connect(self) -> Client:
        return self._connect_as(self._settings.telemetry.user, self._password)

    def _connect_as(self, user: str, password: str) -> Client:
        telemetry = self._settings.telemetry
        return connect(telemetry.url, user=user, password=password, database=telemetry.database)

    async def _open_first(self) -> None:
        """Databases may come later than we do; wrong settings stop the process now."""
        try:
            await self._open_state()
            await asyncio.to_thread(self._store.open)
        except ConfigError:
            raise
        except Refused as err:
            raise ConfigError(self._store.problem or str(err)) from err
        except NovaCronError:
            log.info("not ready yet, trying again")

    async def _open_state(self) -> None:
        try:
            await asyncio.to_thread(migrate, self._state)
            self._state_problem = ""
        except NovaCronError as err:
            if str(err) != self._state_problem:
                log.error("%s", err)
            self._state_problem = str(err)
            raise

    async def _keep_open(self) -> None:
        while self._state_problem:
            with suppress(NovaCronError):  # the reason is logged once, and told by /readyz
                await self._open_state()
            await asyncio.sleep(_RETRY_S)

    def _not_ready(self) -> str | None:
        """Why this collector is not to be sent to: a store that goes away later is no reason, as
        the log takes what comes meanwhile."""
        store = "" if self._store.was_open else self._store.problem
        return self._state_problem or store or self._ingest.log.problem or None

    def _problem(self) -> str | None:
        """What an operator is to see to, whether or not senders notice."""
        return self._not_ready() or self._store.problem or None

    # -- what runs beside the receivers ---------------------------------------------------------

    @asynccontextmanager
    async def _inventory_and_rollups(self) -> AsyncIterator[None]:
        store = self._store
        rollups = RollupThread(self._connect, lambda: not store.problem, store.learned)
        self._inventory.start()
        rollups.start()
        try:
            yield
        finally:
            await asyncio.to_thread(rollups.stop)
            await asyncio.to_thread(self._inventory.stop)
            await asyncio.to_thread(self._access.denials.write_all)
            self._state.dispose()

    @asynccontextmanager
    async def _reporting(self) -> AsyncIterator[None]:
        every_s = self._settings.own_metrics.every
        figures = StoreFigures(self._connect, lambda: not self._store.problem, 6 * every_s)
        parts = Parts(
            counts=self._ingest.pipeline.counts,
            refusals=self._intake.refusals,
            room=self._room,
            decoder=self._ingest.decoder,
            hub=self._hub,
            inventory=self._inventory,
            log=self._ingest.log,
            ledger=self._ingest.ledger,
            writer=self._ingest.writer,
            store=figures,
            uptime=self._uptime,
        )
        about = resource(self._ingest.log.folder, version("novacron"))
        reporter = Reporter(self._ingest.pipeline, parts, about, every_s)
        reporter.start(asyncio.get_running_loop())
        try:
            yield
        finally:
            await asyncio.to_thread(reporter.stop)

    def _api(self) -> uvicorn.Server:
        names = self._agents.trusted_hosts()
        rest = create_app(
            Services(
                inventory=self._inventory.inventory,
                agents=self._inventory.agents,
                access=self._access,
                enrolment=self._agents.enrolling(),
                commands=self._commands,
                telemetry=self._telemetry,
                index=self._index,
                reader=per_thread(lambda: self._connect_as(READER, self._reader_password)),
                version=version("novacron"),
                started=self._started,
                counters=self._counters,
                forwarding=self._ingest.forwarder.state,
                not_ready=self._not_ready,
                problem=self._problem,
                trusted_hosts=names,
            )
        )
        # a2wsgi's own names for what ASGI and WSGI are differ from everybody's
        wsgi = cast(ASGIApp, WSGIMiddleware(rest, _API_THREADS, QUEUED))  # type: ignore[arg-type]
        held = Held(wsgi, self._access, self._commands.progress)
        app = Starlette(
            routes=[
                WebSocketRoute("/v1/live", endpoint(self._hub, names, self._access)),
                Mount("/", Arrival(held, MAX_BODY)),
            ]
        )
        tls = self._agents.tls.for_listener(self._settings.listen.api)
        asked_for = Forwarded(app, self._settings.access.proxies)
        return server(asked_for, self._api_connections, tls)

    def _make_commands(self) -> Commands:
        users, identities = Users(self._state), Identities(self._state)
        around = Around(
            agents_of_hosts=lambda: agents_of_hosts(identities),
            states=lambda: states(self._telemetry, self._index, lambda: datetime.now(UTC)),
            principal_of=lambda user_id: principal_of(users, user_id),
            require=self._access.require,
            refuse=self._access.refuse,
            memory=lambda: memory(self._telemetry, self._index, lambda: datetime.now(UTC)),
            publish=self._hub.publish_operations,
            followed=lambda: self._hub.operations_followed,
        )
        return Commands(self._state, self._access.audit, self._settings.commands, around)

    def _grpc_limits(self) -> grpc.Limits:
        limits = self._settings.limits
        return grpc.Limits(
            message=int(limits.inflated),
            requests=limits.in_flight_requests,
            connections=self._grpc_connections,
            idle_s=limits.idle,
        )

    def _counters(self) -> Mapping[str, float]:
        every = (self._connections, self._agent_connections, self._api_connections)
        return {
            **self._ingest.counters(),
            "requests_in_hand": self._room.requests,
            "connections": self._connections.open + self._agent_connections.open,
            "connections_expired": self._connections.expired + self._agent_connections.expired,
            "connections_evicted": self._connections.evicted + self._agent_connections.evicted,
            "connections_stalled": sum(one.stalled for one in every),
            "live_clients": self._hub.clients,
        }


def _connections(most: int, limits: LimitSettings) -> Connections:
    return Connections(most, limits.idle, limits.stalled, limits.send_time)


@asynccontextmanager
async def _serving(app: uvicorn.Server, sock: socket.socket) -> AsyncIterator[None]:
    task = asyncio.create_task(app.serve(sockets=[sock]))
    try:
        yield
    finally:
        app.should_exit = True
        await task


@asynccontextmanager
async def _grpc(
    intake: Intake, address: str, limits: grpc.Limits, agents: Identification
) -> AsyncIterator[None]:
    credentials = agents.tls.for_grpc(address)
    receiver = await grpc.start(intake, address, limits, agents.door(address), credentials)
    try:
        yield
    finally:
        await receiver.stop(_GRPC_STOP_S)


@asynccontextmanager
async def _cancelled_at_the_end(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
