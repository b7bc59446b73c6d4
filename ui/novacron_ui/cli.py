"""novacron-ui --config ui.toml"""

from __future__ import annotations

import argparse
import errno
import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import uvicorn
from clickhouse_connect.driver.client import Client
from starlette.applications import Starlette

from novacron_contract.errors import ConfigError
from novacron_contract.settings import host_port, load
from novacron_store.state import Agents, Inventory, open_state
from novacron_store.telemetry.client import connect
from novacron_ui.app import Services, create_app
from novacron_ui.live.relay import Relay
from novacron_ui.live.topics import MAX_MESSAGE_BYTES
from novacron_ui.query.fleet import Fleet
from novacron_ui.query.machine import Machines
from novacron_ui.query.notices import Notices
from novacron_ui.query.telemetry import Telemetry
from novacron_ui.server import create_server
from novacron_ui.settings import Settings

QUERY_TIMEOUT_S = 30.0
STATUS_TIMEOUT_S = 2.0
STOP_TIMEOUT_S = 3  # open sockets are closed after that


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level="INFO")
    for noisy in ("httpx", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = load(args.config, Settings)
        address = host_port(settings.ui.listen)
        server = build(settings)
        listener = _listen(address)
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
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def build(settings: Settings) -> Starlette:
    """The server with its collaborators; none of them has to be up yet."""
    telemetry = settings.telemetry
    password = telemetry.password
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

    store = Telemetry(open_client)
    dash = create_app(
        Services(
            Fleet(inventory, Agents(state), store),
            Machines(inventory, store),
            Notices(settings.collector.url, httpx.Client(timeout=STATUS_TIMEOUT_S)),
        )
    )
    relay = Relay(live_url(settings.collector.url))
    return create_server(dash, relay, allowed_hosts=settings.ui.allowed_hosts)


def live_url(collector: str) -> str:
    """The live feed of the collector at an http(s) URL.

    Raises:
        ConfigError: it is not such a URL.
    """
    parts = urlsplit(collector)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise ConfigError(f"[collector] url: expected http://HOST:PORT, got {collector!r}")
    return urlunsplit((scheme, parts.netloc, "/v1/live", "", ""))


def _listen(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        return socket.create_server(address, family=family)
    except OSError as err:
        where = f"{address[0]}:{address[1]}"
        if err.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"{where} is in use: stop the program that listens there, "
                "or set another port as listen under [ui]"
            ) from err
        raise ConfigError(f"cannot listen on {where}: {err.strerror}") from err


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="novacron-ui", description="The web UI of NovaCron.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="ui.toml")
    return parser
