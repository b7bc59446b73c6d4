"""The parser of `novacron`, and what its exit codes mean.

0: done. 1: it failed, the one line on stderr says why; of an operation: some VM did not succeed.
2: the command or a setting is wrong. 3: the collector does not answer. 4: not logged in, or not
allowed. 5: nobody can tell whether something was done. 130: interrupted.
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
    brake,
    commands,
    completion,
    export,
    hosts,
    ingest_tokens,
    login,
    migrate,
    operations,
    query,
    retention,
    schedules,
    setup,
    sql,
    status,
    tokens,
    up,
    users,
    vms,
)
from novacron_cli.collector import NotAllowed, OutcomeUnknown
from novacron_cli.output import plain
from novacron_contract.errors import ConfigError, NovaCronError, Unavailable

_TELEMETRY = (status, hosts, vms, query, export, sql)
_ACCESS = (login, users, tokens, audit)
_ENROLMENT = (agents, ingest_tokens)
_ORDERS = (operations, commands, schedules, brake)
_ASKING = (*_TELEMETRY, *_ORDERS, *_ACCESS, *_ENROLMENT)
_COMMANDS = (setup, up, *_ASKING, retention, backup, migrate)
_EPILOG = """\
Every command explains itself: novacron vm list --help

exit codes:
  0    done
  1    it failed, the line on standard error says why; of an operation: some VM did not succeed
  2    the command or a setting is wrong
  3    the collector does not answer
  4    not logged in, or not allowed
  5    nobody can tell whether something was done
  130  interrupted"""
_SIGNED = ("--from", "--to", "--sort")  # their values may begin with "-"
_MAX_MESSAGE = 2000


def main(argv: Sequence[str] | None = None) -> int:
    try:
        args = _parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
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
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"novacron {version('novacron')}")
    words = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_to(words)
    completion.add_to(words, parser)
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
    if isinstance(err, OutcomeUnknown):
        return 5
    return 3 if isinstance(err, Unavailable) else 1
