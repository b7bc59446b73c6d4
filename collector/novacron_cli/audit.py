"""novacron audit list and verify."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from novacron_cli.command import Commands, add_command, add_family, collector_of
from novacron_cli.output import moment, plain, print_json, print_table

_LIST = """\
examples:
  novacron audit list
  novacron audit list --actor ann --from -7d
  novacron audit list --action user --outcome denied --json
  novacron audit list --before 1200            what is older than row 1200

The newest first. --action user finds user.create and all others of user. Exit code 4: you are
no admin."""
_VERIFY = """\
examples:
  novacron audit verify
  novacron audit verify --head 1417:9f2c…      and is that row still there?

Each row holds the hash of the one before: a row that was changed, removed or put in is found.
Keep the head that is printed elsewhere, as in a mail: with it a tail that was cut off is found,
too. The exit code is 1 when something is wrong, and 4 when you are no admin."""
_FILTERS = {
    "actor": "the name of a user",
    "action": "such as user.create, or user",
    "target": "such as user:ann or vm:UUID",
    "outcome": "such as denied",
    "from": "RFC 3339, now, or relative: -15m, -7d",
    "to": "the same",
}


def add_to(commands: Commands) -> None:
    family = add_family(commands, "audit", "who did what, and what came of it")
    lister = add_command(family, "list", _list, "list the audit, the newest first", _LIST)
    for name, explained in _FILTERS.items():
        lister.add_argument(f"--{name}", dest=f"with_{name}", metavar="TEXT", help=explained)
    lister.add_argument("--before", type=int, metavar="SEQ", help="older than this row")
    lister.add_argument("--limit", type=int, default=100, help="rows (default: 100, at most 1000)")
    verifier = add_command(
        family, "verify", _verify, "check that every row is as it was written", _VERIFY
    )
    verifier.add_argument("--head", metavar="SEQ:HASH", help="that an earlier run printed")


def _list(args: Namespace) -> int:
    asked: dict[str, str | int | None] = {name: getattr(args, f"with_{name}") for name in _FILTERS}
    asked |= {"before": args.before, "limit": args.limit}
    answer = collector_of(args).get("/v1/audit", asked)
    if args.json:
        print_json(answer)
        return 0
    headings = ("SEQ", "TIME", "WHO", "FROM", "ACTION", "TARGET", "OUTCOME", "WHY", "DETAIL")
    rows = [_cells(row) for row in answer["rows"]]
    print_table(headings, rows, right=("SEQ",), droppable=("DETAIL", "FROM", "WHY"))
    if not rows:
        print("no rows")
    elif answer["before"] is not None:
        print(f"older rows: --before {answer['before']}")
    return 0


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    who = row["actor"]["name"] + (" (token)" if row["token_id"] else "")
    detail = json.dumps(row["detail"], ensure_ascii=False) if row["detail"] else ""
    return (
        *(row["seq"], moment(row["at"]), who, row["source"], row["action"], row["target"]),
        *(row["outcome"], row["reason"], detail),
    )


def _verify(args: Namespace) -> int:
    found = collector_of(args).get("/v1/audit/verify", {"head": args.head})
    if args.json:
        print_json(found)
    elif found["whole"]:
        print(f"every row is as it was written; head: {plain(found['head'])}")
    else:
        print(f"row {found['bad_seq']} is the first that is wrong: {plain(found['problem'])}")
    return 0 if found["whole"] else 1
