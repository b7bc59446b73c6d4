"""`novacron-store --config store.toml`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from novacron_contract.errors import ConfigError
from novacron_contract.listening import listen
from novacron_contract.settings import load, read_secret
from novacron_store.server.app import Front
from novacron_store.server.engine import Engine
from novacron_store.server.mending import Mending
from novacron_store.server.pools import giving_up
from novacron_store.server.principals import Passwords
from novacron_store.server.settings import Settings

log = logging.getLogger("novacron_store")

_DRAIN_S = 5  # running queries get this long to end at a stop
_ENDING_S = 4  # and those that were cancelled this long to say so


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        settings = load(args.config, Settings)
        return _run(settings, args.config)
    except ConfigError as err:
        print(f"novacron-store: {err}", file=sys.stderr)  # noqa: T201  the one line of a bad start
        return 2


def _run(settings: Settings, config: Path) -> int:
    store = settings.store
    passwords = Passwords(
        service=read_secret(store.service_password_file),
        reader=read_secret(store.reader_password_file),
    )
    with listen(store.listen, f"{config}: store: listen") as sock:
        engine = Engine(store.path, int(store.memory), int(store.keep_free))
        front, mending = Front(engine, passwords, settings), Mending(engine)
        mending.start()
        log.info("serving %s on %s", store.path, store.listen)
        try:
            _serve(front, sock)
        finally:
            with giving_up(_ENDING_S, 0, "stopped, though a query cannot be ended"):
                mending.stop()
                front.close()
                engine.close()
    log.info("stopped")
    return 0


def _serve(front: Front, sock: socket.socket) -> None:
    config = uvicorn.Config(
        front.app(),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_DRAIN_S + _ENDING_S,
        backlog=512,
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again at its end:
        signal.signal(number, signal.SIG_IGN)  # a stop that was asked for is no failure
    _Server(config, front).run(sockets=[sock])


class _Server(uvicorn.Server):
    """At a stop, queries get some time to end by themselves and are cancelled then."""

    def __init__(self, config: uvicorn.Config, front: Front) -> None:
        super().__init__(config)
        self._front = front

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cancel = asyncio.get_running_loop().call_later(_DRAIN_S, self._front.cancel_queries)
        await super().shutdown(sockets)
        cancel.cancel()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="novacron-store", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="store.toml")
    return parser
