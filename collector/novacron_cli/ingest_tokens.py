"""novacron ingest-token create, list, revoke."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from novacron_cli.collector import in_path
from novacron_cli.command import Commands, add_command, add_family, collector_of
from novacron_cli.hosts import tell_rest
from novacron_cli.output import MAX_NAME, moment, plain, print_json, print_table

_CREATE = """\
examples:
  novacron ingest-token create prometheus > token-file
  novacron ingest-token create otel-gateway --days 365

The token is written to standard output, this once. Whoever has it may send metrics by OTLP or
remote write, and nothing else. To rotate: make another, give it to the sender, revoke the old one;
both hold meanwhile."""
_LIST = """\
examples:
  novacron ingest-token list"""
_REVOKE = """\
examples:
  novacron ingest-token revoke 0b8f9c1e-8a53-4b0e-9c55-0d5b0f3d4f6a

It holds no longer, within a second."""


def add_to(commands: Commands) -> None:
    family = add_family(commands, "ingest-token", "what other senders of metrics are let in by")
    creator = add_command(family, "create", _create, "make a token for a sender", _CREATE)
    creator.add_argument("name", help="who sends with it")
    creator.add_argument(
        "--days", type=float, metavar="N", help="how long it holds (default: ever)"
    )
    add_command(family, "list", _list, "list the tokens of senders", _LIST)
    revoker = add_command(family, "revoke", _revoke, "end one", _REVOKE)
    revoker.add_argument("id", help="as `novacron ingest-token list` shows it")
    for parser in (creator, revoker):
        parser.add_argument("--reason", metavar="TEXT", help="why, for the audit")


def _create(args: Namespace) -> int:
    body: dict[str, Any] = {"name": args.name}
    if args.days is not None:
        body["days"] = args.days
    made = collector_of(args).change("POST", "/v1/ingest-tokens", body, args.reason)
    if args.json:
        print_json(made)
        return 0
    print(plain(made["token"]))
    until = _when(made["expires"], "it is revoked")
    told = f"{plain(made['name'])} ({plain(made['id'])}) holds until {until}; it is shown this once"
    print(told, file=sys.stderr)
    return 0


def _list(args: Namespace) -> int:
    answer = collector_of(args).get("/v1/ingest-tokens", {"limit": 5000})
    if args.json:
        print_json(answer)
        return 0
    rows = [
        (
            one["id"],
            plain(one["name"], MAX_NAME),
            f"revoked {moment(one['revoked'])}" if one["revoked"] else "",
            _when(one["expires"], "never"),
            _when(one["last_used"], "never"),
        )
        for one in answer["ingest_tokens"]
    ]
    print_table(("ID", "NAME", "REVOKED", "EXPIRES", "LAST USED"), rows, droppable=("EXPIRES",))
    tell_rest(len(rows), answer["total"], "tokens of senders")
    return 0


def _revoke(args: Namespace) -> int:
    path = f"/v1/ingest-tokens/{in_path(args.id)}"
    answer = collector_of(args).change("DELETE", path, reason=args.reason)
    if args.json:
        print_json(answer)
    else:
        print(f"{plain(args.id)}: revoked")
    return 0


def _when(text: str | None, otherwise: str) -> str:
    return otherwise if text is None else moment(text)
