"""novacron sql: a SELECT of your own."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from novacron_cli.command import Commands, add_command, collector_of
from novacron_cli.output import plain, print_json, print_table
from novacron_contract.errors import ConfigError

_SUMMARY = "run a SELECT of your own, with the reader's rights and limits"
_EXAMPLES = """\
examples:
  novacron sql 'SHOW TABLES'
  novacron sql 'SELECT metric, count() FROM samples GROUP BY metric ORDER BY 2 DESC LIMIT 10'
  novacron sql 'SELECT * FROM samples WHERE entity = {vm:String} LIMIT 5' --set vm=web-1
  novacron sql --format csv - < report.sql > report.csv"""


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "sql", _run, _SUMMARY, _EXAMPLES)
    parser.add_argument("statement", metavar="SELECT…", help="the statement; -: standard input")
    parser.add_argument("--format", choices=("table", "json", "csv", "tsv"), default="table")
    parser.add_argument(
        *("--set", "-s"),
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="fills the placeholder {NAME:Type}; repeatable",
    )


def _run(args: Namespace) -> int:
    statement = sys.stdin.read() if args.statement == "-" else args.statement
    body = {"query": statement, "parameters": dict(map(_parameter, args.set))}
    collector = collector_of(args)
    if args.format in ("csv", "tsv"):
        _write(collector.post("/v1/sql", body, format=args.format).content)
        return 0
    answer = collector.post("/v1/sql", body).json()
    if args.json or args.format == "json":
        print_json(answer)
        return 0
    _show(answer)
    return 0


def _parameter(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigError(f"--set: expected NAME=VALUE, got {text!r}")
    return name, value


def _show(answer: dict[str, Any]) -> None:
    names = [column["name"] for column in answer["columns"]]
    numbers = [column["name"] for column in answer["columns"] if _is_number(column["type"])]
    rows = [["NULL" if cell is None else cell for cell in row] for row in answer["rows"]]
    print_table(names, rows, right=numbers)
    print(f"{len(rows)} {'row' if len(rows) == 1 else 'rows'}", file=sys.stderr)


def _is_number(kind: str) -> bool:
    inner = kind.removeprefix("Nullable(")
    return inner.startswith(("Int", "UInt", "Float", "Decimal"))


def _write(content: bytes) -> None:
    """Data for programs goes out as it is; a terminal sees no control characters."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    for line in content.decode("utf-8", "replace").splitlines():
        print("\t".join(plain(cell, len(cell)) for cell in line.split("\t")))
