"""novacron token list, create, revoke."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from novacron_cli import granting
from novacron_cli.collector import in_path
from novacron_cli.command import Commands, add_command, add_family, collector_of
from novacron_cli.hosts import tell_rest
from novacron_cli.output import moment, plain, print_json, print_table

_LIST = """\
examples:
  novacron token list

Your own; an admin's list is everybody's."""
_CREATE = f"""\
examples:
  novacron token create ci > token-file
  novacron token create dashboards --grant viewer --days 90
  novacron vm list --token-file token-file

The token is written to standard output, this once: no more than its hash is kept. It acts for
you, with your rights, or with those of --grant that you have, too.
{granting.EXPLAINED}
You have to be logged in: a token makes no tokens (exit code 4)."""
_REVOKE = """\
examples:
  novacron token revoke 0b8f9c1e-8a53-4b0e-9c55-0d5b0f3d4f6a --reason 'was in a log'

It holds no longer, at once."""


def add_to(commands: Commands) -> None:
    family = add_family(commands, "token", "what programs act for you with")
    add_command(family, "list", _list, "list the API tokens", _LIST)
    creator = add_command(family, "create", _create, "make an API token", _CREATE)
    creator.add_argument("name", help="what it is for")
    granting.add_grants(creator, "at most this, instead of all that you may")
    creator.add_argument(
        "--days", type=float, metavar="N", help="how long it holds (default: ever)"
    )
    revoker = add_command(family, "revoke", _revoke, "end an API token", _REVOKE)
    revoker.add_argument("id", help="as `novacron token list` shows it")
    for parser in (creator, revoker):
        parser.add_argument("--reason", metavar="TEXT", help="why, for the audit")


def _list(args: Namespace) -> int:
    answer = collector_of(args).get("/v1/tokens", {"limit": 5000})
    if args.json:
        print_json(answer)
        return 0
    rows = [
        (
            token["id"],
            token["user"],
            token["name"],
            f"{token['shown']}…",
            granting.shown(token["grants"]),
            _when(token["expires"], "never"),
            _when(token["last_used"], "never"),
        )
        for token in answer["tokens"]
    ]
    headings = ("ID", "USER", "NAME", "TOKEN", "AT MOST", "EXPIRES", "LAST USED")
    print_table(headings, rows, droppable=("TOKEN", "EXPIRES"))
    tell_rest(len(rows), answer["total"], "tokens")
    return 0


def _create(args: Namespace) -> int:
    body: dict[str, Any] = {"name": args.name}
    if args.grant:
        body["grants"] = granting.body(args.grant)
    if args.days is not None:
        body["days"] = args.days
    made = collector_of(args).change("POST", "/v1/tokens", body, args.reason)
    if args.json:
        print_json(made)
        return 0
    print(plain(made["token"]))
    until = _when(made["expires"], "it is revoked")
    told = f"{plain(made['name'])} ({plain(made['id'])}) holds until {until}; it is shown this once"
    print(told, file=sys.stderr)
    return 0


def _revoke(args: Namespace) -> int:
    path = f"/v1/tokens/{in_path(args.id)}"
    answer = collector_of(args).change("DELETE", path, reason=args.reason)
    if args.json:
        print_json(answer)
    else:
        print(f"{plain(args.id)}: revoked")
    return 0


def _when(text: str | None, otherwise: str) -> str:
    return otherwise if text is None else moment(text)
