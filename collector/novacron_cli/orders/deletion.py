"""novacron vm delete: what goes is shown before, as the hosts' agents tell it."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from novacron_cli.collector import Collector
from novacron_cli.command import Commands, add_command, collector_of
from novacron_cli.orders import options, outcome, plan, verbs
from novacron_cli.orders.answers import asked, commands_of
from novacron_cli.orders.words import name_of
from novacron_cli.output import plain, print_json, print_table
from novacron_contract.commands import VERBS, State, Verb
from novacron_contract.errors import NovaCronError

_ASKED_ABOUT = 20  # VMs of which it is shown what goes before they are confirmed
_EXAMPLES = """\
examples:
  novacron vm delete web-1 --dry-run
  novacron vm delete web-1
  novacron vm delete web-1 --keep-volumes --force
  novacron vm delete --tag env=test --state stopped --yes --wait

With --dry-run the agents tell what would go, what would stay, and why; nothing is done. What was
not created with a VM stays. One that runs is refused without --force, which takes its power away.
On a terminal it is shown first, and has to be typed: the VM's name, or the number of VMs.
Exit code 0: all are gone (not waiting: it was taken). 1: some VM is not. 5: of some VM, or of all,
nobody can tell; 2, 3, 4: see novacron --help."""


def add_to(family: Commands) -> None:
    spec = VERBS[Verb.DELETE]
    parser = add_command(family, spec.verb.value, _run, spec.summary, _EXAMPLES)
    options.add_order(parser, spec)
    verbs.add_following(parser)


def _run(args: Namespace) -> int:
    collector, body = collector_of(args), options.body(args)
    if args.dry_run:
        return _show_plan(args, collector, body)
    can_ask = sys.stdin.isatty() and sys.stderr.isatty()
    if can_ask and not args.yes:
        _show_what_goes(collector, body)
    body |= plan.confirmation(collector, body, selected=options.selects(args), yes=args.yes)
    return verbs.follow(args, collector, verbs.submit(args, collector, body))


def _show_plan(args: Namespace, collector: Collector, body: Mapping[str, Any]) -> int:
    operation = _planned(args.json, collector, body, args.key)
    if args.json:
        print_json({**operation, "plans": list(commands_of(collector, operation))})
        return outcome.exit_code(operation)
    _print_plans(list(commands_of(collector, operation)), to_stderr=False)
    if code := outcome.exit_code(operation):
        outcome.show(collector, operation)
        return code
    print("nothing was done")
    return 0


def _show_what_goes(collector: Collector, body: Mapping[str, Any]) -> None:
    """Beside the question; where that cannot be told it is asked all the same."""
    planned = plan.planned(collector, body)
    if not 0 < len(planned["vms"]) <= _ASKED_ABOUT or any(vm["problem"] for vm in planned["vms"]):
        return
    try:
        operation = _planned(True, collector, body, None)
        _print_plans(list(commands_of(collector, operation)), to_stderr=True)
    except NovaCronError as err:
        print(f"what would go cannot be told: {plain(err)}", file=sys.stderr)
    print(file=sys.stderr)


def _planned(
    quiet: bool, collector: Collector, body: Mapping[str, Any], key: str | None
) -> Mapping[str, Any]:
    """The operation by which agents were asked what would go; it has ended."""
    arguments = {**body.get("arguments", {}), "plan": True}
    return asked(collector, {**body, "arguments": arguments}, quiet=quiet, key=key)


def _print_plans(commands: Sequence[Mapping[str, Any]], *, to_stderr: bool) -> None:
    rows = [row for command in commands for row in _rows(command)]
    if rows:
        print_table(("VM", "", "WHAT", "NAME", "WHY"), rows, folded=("NAME", "WHY"),
                    to_stderr=to_stderr)  # fmt: skip


def _rows(command: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    vm = name_of(command)
    if command["state"] != State.SUCCEEDED:
        said = command["error"] or command["state"]
        yield (vm, "?", "", "", plain(said))
        return
    detail = command["detail"]
    for word, name in (("goes", "plan"), ("stays", "kept")):
        for one in detail.get(name) or ():
            told = [plain(one.get(part, "")) for part in ("kind", "name", "why")]
            yield (vm, word, *told)
    if more := detail.get("more"):
        yield (vm, "", "", f"… and {plain(more)} more", "")
