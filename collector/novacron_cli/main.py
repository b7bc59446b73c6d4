"""The parser of `novacron`, and what its exit codes mean.

0: done. 1: it failed, the one line on stderr says why. 2: the command or a setting is wrong.
3: the collector does not answer. 4: not logged in, or not allowed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from novacron_cli import (
    agents,
    audit,
    backup,
    export,
    hosts,
    ingest_tokens,
    login,
    migrate,
    query,
    retention,
    sql,
    status,
    tokens,
    up,
    users,
    vms,
)
from novacron_cli.collector import NotAllowed
from novacron_cli.output import plain
from novacron_contract.errors import ConfigError, NovaCronError, Unavailable

_TELEMETRY = (status, hosts, vms, query, export, sql)
_ACCESS = (login, users, tokens, audit)
_ENROLMENT = (agents, ingest_tokens)
_COMMANDS = (up, *_TELEMETRY, *_ACCESS, *_ENROLMENT, retention, backup, migrate)
_SIGNED = ("--from", "--to", "--sort")  # their values may begin with "-"
_MAX_MESSAGE = 2000


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except NovaCronError as err:
        print(f"novacron: {_one_line(err)}", file=sys.stderr)
        return _exit_code(err)
    except BrokenPipeError:  # whoever read our output has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="novacron",
        description="See and ask what your hosts and VMs do.",
        epilog="Every command explains itself: novacron vm list --help",
    )
    parser.add_argument("--version", action="version", version=f"novacron {version('novacron')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_to(commands)
    return parser


def _joined(argv: Sequence[str]) -> list[str]:
    """Write `--from -1h` as `--from=-1h`: argparse takes -1h for an option."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] in _SIGNED and word.startswith("-"):
            joined[-1] = f"{joined[-1]}={word}"
        else:
            joined.append(word)
    return joined


def _one_line(err: NovaCronError) -> str:
    """ClickHouse's messages quote what was asked, and that may be anything."""
    return plain(" ".join(str(err).split()), _MAX_MESSAGE)


def _exit_code(err: NovaCronError) -> int:
    if isinstance(err, ConfigError):
        return 2
    if isinstance(err, NotAllowed):
        return 4
    return 3 if isinstance(err, Unavailable) else 1
