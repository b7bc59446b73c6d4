"""`make chaos-commands`: the storm over guests, and its figures. Exit code 1: a violation."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from chaos.command_report import Plan, Report
from chaos.command_storm import Storm
from postgresql import private_cluster

_SHOWN = 20


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**6)
    _say(f"seed {seed}: {args.commands} commands")
    folder = Path(tempfile.mkdtemp(prefix="novacron-chaos-"))
    with _state(args.state) as url:
        report = Storm(Plan(seed, args.commands, state_url=url), folder, _say).run()
    _show(report)
    if report.violations:
        _say(f"logs and data are in {folder}")
        return 1
    return 0


@contextmanager
def _state(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        yield ""
        return
    with private_cluster() as url:
        yield url


def _show(report: Report) -> None:
    for name, figure in report.rows():
        _say(f"  {name:<34}{figure:>12}")
    for one in report.said_left[:_SHOWN]:
        _say(f"LEFT {one}")
    for violation in report.violations[:_SHOWN]:
        _say(f"VIOLATION {violation}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos-commands", description=__doc__)
    parser.add_argument("--seed", type=int, help="of everything that is drawn; default: a new one")
    parser.add_argument("--commands", type=int, default=600)
    parser.add_argument("--state", choices=("sqlite", "postgresql"), default="sqlite")
    return parser


if __name__ == "__main__":
    sys.exit(main())
