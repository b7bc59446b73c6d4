"""novacron-ui --config ui.toml"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import uvicorn
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette

from novacron_contract.errors import ConfigError
from novacron_contract.listening import listen
from novacron_contract.settings import load
from novacron_store.state import Agents, Inventory, open_state
from novacron_store.telemetry.builder import HeldHours, Index
from novacron_store.telemetry.client import connect, per_thread
from novacron_ui.app import Pages, Services
from novacron_ui.live.relay import Relay
from novacron_ui.live.topics import MAX_MESSAGE_BYTES
from novacron_ui.query.collector import Collectors
from novacron_ui.query.fleet import Fleet
from novacron_ui.query.machine import Machines
from novacron_ui.query.monitoring import Monitoring
from novacron_ui.query.notices import Notices
from novacron_ui.server import create_server
from novacron_ui.settings import Settings

QUERY_TIMEOUT_S = 30.0
STATUS_TIMEOUT_S = 2.0
STOP_TIMEOUT_S = 3  # open sockets are closed after that
ENDING_S = 6  # and threads that still work for them are left behind


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level="INFO")
    for noisy in ("httpx", "uvicorn.error", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = load(args.config, Settings)
        server = build(settings)
        listener = listen(settings.ui.listen, f"{args.config}: ui: listen")
    except ConfigError as err:
        print(f"novacron-ui: {err}", file=sys.stderr)  # noqa: T201
        return 2
    config = uvicorn.Config(
        server,
        log_config=None,
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE_BYTES,
        server_header=False,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )
    logging.getLogger(__name__).info("open http://%s", settings.ui.listen)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again at its end:
        signal.signal(number, signal.SIG_IGN)  # a stop that was asked for is no failure
    _Server(config).run(sockets=[listener])
    return 0


class _Server(uvicorn.Server):
    """At a stop a thread may work on a page still: it waits for the loop, which is gone, or for the
    store, and Python waits for the thread. Nothing here is to be saved."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        timer = threading.Timer(ENDING_S, os._exit, (0,))
        timer.daemon = True
        timer.start()
        await super().shutdown(sockets)


def build(settings: Settings) -> Starlette:
    """The server with its collaborators; none of them has to be up yet."""
    telemetry = settings.telemetry
    password = telemetry.password
    headers = settings.collector.headers
    state = open_state(settings.state.url)
    inventory = Inventory(state)

    def open_client() -> Client:
        return connect(
            telemetry.url,
            user=telemetry.user,
            password=password,
            database=telemetry.database,
            timeout=QUERY_TIMEOUT_S,
        )

    store = per_thread(open_client)
    index = Index(behind=store, hours=HeldHours())
    agents = Agents(state)
    pages = Pages(
        Services(
            Fleet(inventory, agents, store, index),
            Machines(inventory, store, index),
            Monitoring(inventory, agents, store, index),
            Collectors(store, index),
            Notices(
                settings.collector.url, httpx.Client(timeout=STATUS_TIMEOUT_S, headers=headers)
            ),
        )
    )
    relay = Relay(live_url(settings.collector.url), headers)
    return create_server(pages, relay, allowed_hosts=settings.ui.allowed_hosts)


def live_url(collector: str) -> str:
    """The live feed of the collector at an http(s) URL.

    Raises:
        ConfigError: it is not such a URL.
    """
    parts = urlsplit(collector)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ConfigError(f"collector: url: expected http://HOST:PORT, got {collector!r}")
    return urlunsplit((scheme, parts.netloc, "/v1/live", "", ""))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="novacron-ui", description="The web UI of NovaCron.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="ui.toml")
    return parser
