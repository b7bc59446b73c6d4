"""novacron-collector --config collector.toml"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from novacron_collector.preparing import prepare
from novacron_collector.settings import Settings
from novacron_contract.errors import ConfigError, Unavailable
from novacron_contract.settings import load

# What is known of series lives long, and Python looks through it for cycles again and again: at its
# defaults (700, 10, 10) that was a quarter of the CPU of ingest.
_GC_THRESHOLDS = (20_000, 20, 100)


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    for client in ("clickhouse_connect", "urllib3"):  # their errors reach us, and are told once
        logging.getLogger(client).setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell of every request
    try:
        settings = load(args.config, Settings)
        if args.prepare:
            prepare(settings, args.config)
            return 0
        _run(settings, args.config)
    except ConfigError as err:
        sys.stderr.write(f"novacron-collector: {err}\n")
        return 2
    except Unavailable as err:
        sys.stderr.write(f"novacron-collector: {err}\n")
        return 1
    return 0


def _run(settings: Settings, config: Path) -> None:
    # More than a second of CPU, which who prepares or has a setting wrong need not wait for.
    import uvloop

    from novacron_collector.app import Collector
    from novacron_collector.listening import listeners

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        with listeners(settings.listen) as listening:
            await Collector(settings).run(listening, stop)

    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
    except ConfigError as err:
        raise ConfigError(f"{config}: {err}") from err


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="novacron-collector",
        description="Receives OTLP metrics, stores them, serves the REST API and the live feed.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="collector.toml")
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="check the settings, make authority, certificate and state database, and end",
    )
    return parser
