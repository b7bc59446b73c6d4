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
from novacron_ui.access.visitors import Visitors
from novacron_ui.app import Pages, Services
from novacron_ui.certificate import Certificate
from novacron_ui.collector import OwnToken, open_collector, trusted
from novacron_ui.live.relay import Relay
from novacron_ui.live.topics import MAX_MESSAGE_BYTES
from novacron_ui.query.collector import Collectors
from novacron_ui.query.fleet import Fleet
from novacron_ui.query.machine import Machines
from novacron_ui.query.monitoring import Monitoring
from novacron_ui.query.notices import Notices
from novacron_ui.server import Door, create_server
from novacron_ui.settings import Settings, TlsSettings

QUERY_TIMEOUT_S = 30.0
STATUS_TIMEOUT_S = 2.0
STOP_TIMEOUT_S = 3  # open sockets are closed after that
MAX_CONNECTIONS = 512  # of browsers; with those to the collector under the usual 1024 open files
MAX_HEAD_BYTES = 32 * 1024
KEEP_ALIVE_S = 5
ENDING_S = 6  # and threads that still work for them are left behind


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level="INFO")
    for noisy in ("httpx", "uvicorn.error", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = load(args.config, Settings)
        certificate = certificate_of(settings.tls)
        server = build(settings, certificate)
        listener = listen(settings.ui.listen, f"{args.config}: ui: listen")
    except ConfigError as err:
        print(f"novacron-ui: {err}", file=sys.stderr)  # noqa: T201
        return 2
    config = bounded(server)
    if certificate is not None:
        config.load()
        config.ssl = certificate.context
    scheme = "http" if certificate is None else "https"
    logging.getLogger(__name__).info("open %s://%s", scheme, settings.ui.listen)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again at its end:
        signal.signal(number, signal.SIG_IGN)  # a stop that was asked for is no failure
    _Server(config).run(sockets=[listener])
    return 0


def bounded(server: Starlette) -> uvicorn.Config:
    """What one client may take of us, as far as uvicorn has limits; docs/ui.md tells the others."""
    return uvicorn.Config(
        server,
        http="h11",  # the only one that bounds a request's head
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE_BYTES,
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=["127.0.0.1", "::1"],  # a proxy here tells whether a browser uses TLS
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )


class _Server(uvicorn.Server):
    """At a stop a thread may work on a page still: it waits for the loop, which is gone, or for the
    store, and Python waits for the thread. Nothing here is to be saved."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        timer = threading.Timer(ENDING_S, os._exit, (0,))
        timer.daemon = True
        timer.start()
        await super().shutdown(sockets)


def certificate_of(tls: TlsSettings) -> Certificate | None:
    """
    Raises:
        ConfigError: its files cannot be used.
    """
    if tls.cert_file is None or tls.key_file is None:
        return None
    return Certificate(tls.cert_file, tls.key_file)


def build(settings: Settings, certificate: Certificate | None = None) -> Starlette:
    """The server with its collaborators; none of them has to be up yet."""
    telemetry = settings.telemetry
    password = telemetry.password
    url, token = settings.collector.url, OwnToken(settings.collector.token_file)
    trust = trusted(settings.collector.ca_file)
    token.headers()  # a file that cannot be read is told now
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
            Notices(url, httpx.Client(timeout=STATUS_TIMEOUT_S, verify=trust), token),
        )
    )
    relay = Relay(live_url(url), token, trust)
    door = Door(
        Visitors(open_collector(url, trust)),
        settings.ui.allowed_hosts,
        settings.ui.everybody_logs_in,
    )
    return create_server(pages, relay, door, certificate)


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
