"""novacron vm snapshots: which there are, as the hosts' agents tell it now."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from novacron_cli.command import Commands, add_command, collector_of
from novacron_cli.orders import options, outcome, plan
from novacron_cli.orders.answers import asked, commands_of
from novacron_cli.orders.words import name_of
from novacron_cli.output import MAX_NAME, moment, plain, print_json, print_table
from novacron_contract.commands import VERBS, State, Verb

_EXAMPLES = """\
examples:
  novacron vm snapshots web-1
  novacron vm snapshots --tag team=web --json

The agents of the hosts are asked, so that it is what there is now. CURRENT is what the VM goes on
from; STATE is the one it is in after going back there.
  novacron vm snapshot web-1 --snapshot before-upgrade
  novacron vm revert web-1 --snapshot before-upgrade
Exit code 0: all told. 1: some VM was not; 5: nobody knows; 2, 3, 4: see novacron --help."""
_HEADINGS = ("VM", "SNAPSHOT", "CREATED", "STATE", "MEMORY", "PARENT", "CURRENT")


def add_to(family: Commands) -> None:
    spec = VERBS[Verb.SNAPSHOTS]
    parser = add_command(family, spec.verb.value, _run, spec.summary, _EXAMPLES)
    options.add_order(parser, spec)
    parser.add_argument("--key", help="of the same command given before, so that it is done once")


def _run(args: Namespace) -> int:
    collector, body = collector_of(args), options.body(args)
    body |= plan.confirmation(collector, body, selected=False, yes=True)
    operation = asked(collector, body, quiet=args.json, key=args.key)
    commands = list(commands_of(collector, operation))
    if args.json:
        print_json({**operation, "answers": commands})
        return outcome.exit_code(operation)
    rows = [row for command in commands for row in _rows(command)]
    if rows:
        print_table(_HEADINGS, rows, droppable=("PARENT", "MEMORY"), folded=("SNAPSHOT",))
    else:
        print("no snapshots")
    if code := outcome.exit_code(operation):
        outcome.show(collector, operation)
        return code
    return 0


def _rows(command: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    vm = name_of(command)
    if command["state"] != State.SUCCEEDED:
        return
    detail = command["detail"]
    for one in detail.get("snapshots") or ():
        yield (
            vm,
            plain(one.get("snapshot", "")),
            plain(moment(created)) if isinstance(created := one.get("created"), str) else "–",
            plain(one.get("state", "")) + (" (external)" if one.get("external") else ""),
            "yes" if one.get("memory") else "",
            plain(one.get("parent") or "", MAX_NAME),
            "✓" if one.get("current") else "",
        )
    if more := detail.get("more"):
        yield (vm, f"… and {plain(more)} more", "", "", "", "", "")
