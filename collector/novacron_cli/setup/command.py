"""The command `setup`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from novacron_cli.collector_file import default_path
from novacron_cli.command import add_explained
from novacron_cli.up.choices import Port
from novacron_cli.up.command import port_offset
from novacron_cli.up.data_folder import DataFolder

if TYPE_CHECKING:
    from novacron_cli.command import Commands

_EXAMPLES = """\
examples:
  sudo novacron setup
  sudo novacron setup --address none --admin ann
  sudo novacron setup --address kvm.example.com --open agents --open api \\
      --admin ann --password-file password
  sudo novacron setup --address kvm.example.com --cert chain.pem --key key.pem
  sudo novacron setup --json | jq -r .join.line

On a terminal it asks, the first time, what no option says. Elsewhere the password is a line of
standard input. Run again it shows what is set, and changes what an option says. It may run while
`novacron up` does. Exit code 2: an answer is wrong, and nothing was changed."""


def add_to(commands: Commands) -> None:
    summary = "set up a collector on this machine: run this first"
    parser = add_explained(commands, "setup", summary, _EXAMPLES)
    parser.add_argument(
        "--data", type=Path, default=default_path(), help="the data folder (%(default)s)"
    )
    parser.add_argument(
        "--address",
        action="append",
        metavar="NAME",
        help="name or address by which others reach this machine; repeatable; none: nobody",
    )
    parser.add_argument(
        "--open",
        action="append",
        choices=(*Port, "none"),
        metavar="PORT",
        help="what others may reach: agents (8441), api (8440), otlp (4317, 4318); repeatable",
    )
    parser.add_argument(
        "--cert", metavar="FILE", help="a certificate of your own, with its chain; own: NovaCron's"
    )
    parser.add_argument("--key", type=Path, metavar="FILE", help="its key")
    parser.add_argument(
        "--ca", type=Path, metavar="FILE", help="its authority, if others' systems do not know it"
    )
    parser.add_argument("--admin", metavar="NAME", help="the first user")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="holds the admin's password"
    )
    parser.add_argument("--invite", action="store_true", help="print a further line to join by")
    parser.add_argument(
        "--port-offset",
        type=port_offset,
        metavar="N",
        help="that of `novacron up` (default: the last one's)",
    )
    parser.add_argument("--json", action="store_true", help="JSON, for programs")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    # Databases and certificates take half a second to load: only this command waits for them
    from novacron_cli.setup.answers import answers
    from novacron_cli.setup.doing import set_up
    from novacron_cli.setup.report import show

    data = DataFolder(args.data.resolve())
    data.prepare()
    done = set_up(data, answers(args, data, asks=sys.stdin.isatty() and not args.json))
    show(done, as_json=args.json)
    return 0
