"""novacron brake on, off, status: no VM of the fleet is ordered anything, for now."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from novacron_cli.command import Commands, add_command, add_family, collector_of
from novacron_cli.output import moment, plain, print_json

_PATH = "/v1/brake"
_ON = """\
examples:
  novacron brake on --reason 'storage is in trouble'

Commands wait until `novacron brake off`; what agents were told already goes on. What waits for
longer than its --ttl expires. Exit code 4: you are no admin."""
_OFF = """\
examples:
  novacron brake off

What waits is begun. Exit code 4: you are no admin."""
_STATUS = """\
examples:
  novacron brake status
  novacron brake status --json | jq .held"""


def add_to(commands: Commands) -> None:
    family = add_family(commands, "brake", "hold back all commands to VMs")
    on = add_command(family, "on", _set, "begin no command any more", _ON)
    on.set_defaults(held=True)
    off = add_command(family, "off", _set, "let commands go on", _OFF)
    off.set_defaults(held=False)
    for parser in (on, off):
        parser.add_argument("--reason", metavar="TEXT", default="", help="why, for the audit")
    add_command(family, "status", _status, "whether commands are held back", _STATUS)


def _set(args: Namespace) -> int:
    body = {"held": args.held, "reason": args.reason}
    return _show(args, collector_of(args).change("PUT", _PATH, body))


def _status(args: Namespace) -> int:
    return _show(args, collector_of(args).get(_PATH))


def _show(args: Namespace, brake: dict[str, Any]) -> int:
    if args.json:
        print_json(brake)
        return 0
    since = f" since {moment(brake['since'])} by {plain(brake['by'])}" if brake["since"] else ""
    why = f": {plain(brake['reason'])}" if brake["reason"] else ""
    print(f"the brake is {'on' if brake['held'] else 'off'}{since}{why}")
    return 0
