"""The command line of novacron-agent."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from novacron_agent.agent import VERSION, Measuring, measuring, provider_of, run
from novacron_agent.finding import Level
from novacron_agent.identity import persistent_id
from novacron_agent.readings import Reading
from novacron_agent.settings import Settings, read_settings
from novacron_agent.snapshot import as_json, as_table
from novacron_agent.sources import collect
from novacron_agent.wake import Wake
from novacron_contract.errors import ConfigError

_APART_S = 1.0  # between the two scrapes of --once: a share of CPU is a difference
_PATIENCE_S = 30.0
_END_S = 8.0  # from the signal to the end, even if something hangs that should not


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    quiet = args.once or args.command is not None
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every request
    try:
        settings = read_settings(args.config)
        if args.command == "check":
            return _check(settings, args.config)
        wake = Wake()
        measured = measuring(settings, args.config, wake)
        if args.once:
            return _once(measured, as_json if args.json else as_table)
        agent_id = persistent_id(settings.agent.id_file)
        _stop_on_signal(wake)
        run(settings, agent_id, measured, wake)
    except ConfigError as err:
        sys.stderr.write(f"novacron-agent: {err}\n")
        return 2
    return 0


def _check(settings: Settings, path: Path) -> int:
    """Print a line for each thing that was tried; 1 when one failed."""
    from novacron_agent.check.command import findings  # only for who asks

    provider_of(settings, path)  # its options are settings, too
    failed = False
    for finding in findings(settings, path, VERSION):
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
        failed |= finding.level is Level.FAIL
    return int(failed)


def _once(measured: Measuring, show: Callable[[list[Reading]], str]) -> int:
    """Print what would be sent; 1 when something could not be measured."""
    collect(measured.sources, _PATIENCE_S)
    time.sleep(_APART_S)
    readings = collect(measured.sources, _PATIENCE_S)
    sys.stdout.write(show(readings) + "\n")
    return 1 if measured.counts.any_failed() else 0


def _stop_on_signal(wake: Wake) -> None:
    """A thread reads of the signal in a pipe.

    Python runs handlers in the main thread alone. A signal that comes just before that thread falls
    asleep would be handled when it wakes: at the next tick.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    threading.Thread(target=_end, args=(told, wake), name="signals", daemon=True).start()
    signal.set_wakeup_fd(tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)  # the pipe has it already


def _end(told: int, wake: Wake) -> None:
    os.read(told, 1)
    wake.stop()
    time.sleep(_END_S)
    os._exit(1)  # whatever it is that hangs, such as the reader of our log


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="novacron-agent",
        description="Measures this machine and its VMs, and sends OTLP metrics to a collector.",
        epilog="Without a command it measures and sends until it is told to end.",
    )
    parser.add_argument("--config", type=Path, help="agent.toml (needed)", metavar="FILE")
    parser.add_argument("--once", action="store_true", help="measure, print, send nothing")
    parser.add_argument("--json", action="store_true", help="with --once: JSON, not a table")
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    check = commands.add_parser("check", help="try the settings: say what is wrong, and the remedy")
    unset = argparse.SUPPRESS  # what stands before the command holds as well
    check.add_argument("--config", type=Path, default=unset, help="agent.toml", metavar="FILE")
    args = parser.parse_args(argv)
    if args.config is None:
        parser.error("the following arguments are required: --config")
    return args
