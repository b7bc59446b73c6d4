"""The command line of novacron-agent."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from novacron_agent.agent import VERSION, Measuring, measuring, provider_of
from novacron_agent.finding import Level
from novacron_agent.heap import hold_little
from novacron_agent.readings import Reading
from novacron_agent.selection import Selection
from novacron_agent.service import serve
from novacron_agent.settings import Settings, read_settings
from novacron_agent.snapshot import as_json, as_table
from novacron_agent.sources import collect
from novacron_agent.status.command import show
from novacron_agent.wake import Wake
from novacron_contract.errors import ConfigError

_APART_S = 1.0  # between the two scrapes of --once: a share of CPU is a difference
_PATIENCE_S = 30.0
_INSTALLED = Path("/etc/novacron/agent.toml")


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    quiet = args.once or args.command is not None
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    for chatty in ("httpx", "httpcore"):  # of every request, and of its headers
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        if not quiet:
            hold_little()
            serve(args.config)
            return 0
        settings = read_settings(args.config)
        if args.command == "check":
            return _check(settings, args.config)
        if args.command == "status":
            return show(settings.status_file, settings.identity, json_wanted=args.json)
        if args.command == "join":
            from novacron_agent.enrolment.join import (
                run,  # brings 10 MB that the agent is not to hold
            )

            return run(settings, VERSION, again=args.again)
        measured = measuring(settings, args.config, Wake())
        selection = Selection(settings.metrics)
        return _once(measured, selection, as_json if args.json else as_table)
    except ConfigError as err:
        sys.stderr.write(f"novacron-agent: {err}\n")
        return 2


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


def _once(measured: Measuring, selection: Selection, show: Callable[[list[Reading]], str]) -> int:
    """Print what would be sent; 1 when something could not be measured."""
    collect(measured.sources, _PATIENCE_S)
    time.sleep(_APART_S)
    readings = collect(measured.sources, _PATIENCE_S)
    sys.stdout.write(show(selection.of(readings, rarely=False)) + "\n")
    return 1 if measured.counts.any_failed() else 0


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
    status = commands.add_parser("status", help="what the agent that runs said at its last tick")
    status.add_argument("--json", action="store_true", help="JSON, for programs")
    join = commands.add_parser(
        "join",
        help="become known to a collector, by the line of `novacron agent invite` on stdin",
    )
    join.add_argument("--again", action="store_true", help="though it has joined one already")
    unset = argparse.SUPPRESS  # what stands before the command holds as well
    for one in (check, status, join):
        one.add_argument("--config", type=Path, default=unset, help="agent.toml", metavar="FILE")
    args = parser.parse_args(argv)
    if args.config is None and args.command == "join":
        args.config = _INSTALLED
    if args.config is None:
        parser.error("the following arguments are required: --config")
    return args
