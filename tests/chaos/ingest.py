"""`make chaos-ingest`: the storm at its full length, and its figures. Exit code 1: a violation."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chaos.storm import Plan, Report, Storm

_SHOWN = 20


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # a store away is no news
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**6)
    plan = Plan(seed, args.kills, collectors=args.collectors)
    _say(f"seed {seed}: {plan.kills} kills")
    folder = Path(tempfile.mkdtemp(prefix="novacron-chaos-"))
    report = Storm(plan, folder, _say).run()
    _show(report)
    if report.violations:
        _say(f"logs and data are in {folder}")
        return 1
    return 0


def _show(report: Report) -> None:
    for name, figure in report.rows():
        _say(f"  {name:<34}{figure:>12}")
    for violation in report.violations[:_SHOWN]:
        _say(f"VIOLATION {violation}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos-ingest", description=__doc__)
    parser.add_argument("--seed", type=int, help="of everything that is drawn; default: a new one")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--collectors", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
