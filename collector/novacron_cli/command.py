"""What all commands share: --url, a credential, --json, help with examples."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from novacron_cli.client_file import usual
from novacron_cli.collector import DEFAULT_URL, Collector
from novacron_cli.credentials import credential

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]


def add_command(
    commands: Commands, name: str, run: Run, summary: str, examples: str
) -> argparse.ArgumentParser:
    """A command that asks the collector."""
    parser = add_explained(commands, name, summary, examples)
    parser.add_argument(
        "--url",
        default=usual().url,
        help=f"the collector's API (default: $NOVACRON_URL, else this machine's, or {DEFAULT_URL})",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="holds an API token (default: $NOVACRON_TOKEN, else what `novacron login` left)",
    )
    parser.add_argument(
        "--ca-file",
        type=Path,
        default=os.environ.get("NOVACRON_CA_FILE") or None,
        metavar="FILE",
        help="the collector's authority, ca.pem (default: $NOVACRON_CA_FILE, else the machine's)",
    )
    parser.add_argument("--json", action="store_true", help="JSON as the API gives it")
    parser.set_defaults(run=run)
    return parser


def collector_of(args: argparse.Namespace) -> Collector:
    """The collector that a command asks, as whom the command line says.

    Raises:
        ConfigError: the credential cannot be read, or is not for such a URL.
    """
    return Collector(args.url, credential(args.url, args.token_file), authority_of(args))


def authority_of(args: argparse.Namespace) -> Path | None:
    """What this machine's collector is trusted by, where it is the one that is asked."""
    chosen: Path | None = args.ca_file
    found = usual()
    return found.ca_file if chosen is None and args.url == found.url else chosen


def repeated(args: argparse.Namespace) -> str:
    """What a further command has to say to reach the same collector as the same user."""
    usual_ca = os.environ.get("NOVACRON_CA_FILE")
    said = {
        "--url": None if args.url == usual().url else args.url,
        "--token-file": args.token_file,
        "--ca-file": None if str(args.ca_file) == usual_ca else args.ca_file,
    }
    return "".join(f" {name} {shlex.quote(str(of))}" for name, of in said.items() if of)


def add_explained(
    commands: Commands, name: str, summary: str, examples: str
) -> argparse.ArgumentParser:
    """A command whose help ends with `examples`, as they are."""
    return commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_family(commands: Commands, name: str, summary: str) -> Commands:
    """A word that further commands follow, such as `vm` before `list` and `show`."""
    parser = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:])
    return parser.add_subparsers(metavar="COMMAND", required=True)
