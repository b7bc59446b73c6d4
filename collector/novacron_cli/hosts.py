"""novacron host list."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from novacron_cli.command import Commands, add_command, add_family, collector_of
from novacron_cli.output import MAX_NAME, coloured, plain, print_json, print_table
from novacron_contract.units import duration, readable

_EXAMPLES = """\
examples:
  novacron host list
  novacron host list --sort -cpu_utilization --limit 10
  novacron host list --search kvm --json"""
_VALUES = ("CPU", "MEMORY", "NET IN", "NET OUT", "SEEN")


def add_to(commands: Commands) -> None:
    family = add_family(commands, "host", "the machines that VMs run on")
    parser = add_command(
        family, "list", _list, "list the hosts with their newest values", _EXAMPLES
    )
    add_listing(parser)


def add_listing(parser: Any) -> None:
    """Options of every list of machines."""
    parser.add_argument("-q", "--search", metavar="TEXT", help="part of the name or id")
    parser.add_argument("--sort", metavar="FIELD", help="a field of --json; -FIELD: descending")
    parser.add_argument("--limit", type=int, default=500, help="rows (default: 500, at most 5000)")


def cpu(row: dict[str, Any]) -> str:
    count = row["cpu_count"]
    return readable(row["cpu_utilization"], "1") + (f" of {count:g}" if count else "")


def memory(row: dict[str, Any]) -> str:
    limit = row["memory_limit"]
    return readable(row["memory_usage"], "By") + (f" of {readable(limit, 'By')}" if limit else "")


def ago(row: dict[str, Any]) -> str:
    return f"{duration(row['seen_age_s'])} ago"


def _list(args: Namespace) -> int:
    asked = {"q": args.search, "sort": args.sort, "limit": args.limit}
    answer = collector_of(args).get("/v1/hosts", asked)
    if args.json:
        print_json(answer)
        return 0
    rows = [
        (
            plain(row["name"], MAX_NAME),
            coloured(row["freshness"]),
            row["vms"],
            cpu(row),
            memory(row),
            readable(row["network_receive"], "By/s"),
            readable(row["network_transmit"], "By/s"),
            ago(row),
            row["id"],
        )
        for row in answer["hosts"]
    ]
    headings = ("NAME", "NEWS", "VMS", *_VALUES, "ID")
    print_table(headings, rows, right=("VMS", *_VALUES), droppable=("ID", "NET IN", "NET OUT"))
    tell_rest(len(rows), answer["total"], "hosts")
    return 0


def tell_rest(shown: int, total: int, what: str) -> None:
    """Say it when a list is empty or cut."""
    if total == 0:
        print(f"no {what}")
    elif shown < total:
        print(f"{shown} of {total} {what}: see more with --limit")
