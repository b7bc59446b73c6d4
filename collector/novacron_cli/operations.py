"""novacron operation list, show, watch, cancel."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from novacron_cli.collector import Collector, Failed, in_path
from novacron_cli.command import Commands, add_command, add_family, collector_of
from novacron_cli.hosts import tell_rest
from novacron_cli.orders import outcome
from novacron_cli.orders.plan import OPERATIONS
from novacron_cli.orders.verbs import add_waiting, wait
from novacron_cli.orders.words import counts, state_word, styled, tally, title, took
from novacron_cli.output import console, moment, plain, print_facts, print_json, print_table

_STAGES = ("running", "succeeded", "failed", "cancelled")
_LIST = """\
examples:
  novacron operation list
  novacron operation list --state running

The newest first."""
_SHOW = """\
examples:
  novacron operation show 01993c1e-8a53-7b0e-9c55-0d5b0f3d4f6a"""
_WATCH = """\
examples:
  novacron operation watch
  novacron operation watch 01993c1e-8a53-7b0e-9c55-0d5b0f3d4f6a

Without an id: the newest that is running. Ctrl-C ends the watching alone.
Exit code 0: all succeeded. 1: some VM did not. 5: of some VM nobody can tell."""
_CANCEL = """\
examples:
  novacron operation cancel 01993c1e-8a53-7b0e-9c55-0d5b0f3d4f6a --reason 'wrong host'

Nothing more of it is begun; what was begun goes on to its end. With --wait until all of it has
ended; exit code 0: it is cancelled."""


def add_to(commands: Commands) -> None:
    family = add_family(commands, "operation", "what was ordered over VMs, and how far it is")
    lister = add_command(family, "list", _list, "list the operations", _LIST)
    lister.add_argument("--state", choices=_STAGES, help="only those in this state")
    lister.add_argument("--limit", type=int, default=50, help="rows (default: 50, at most 5000)")
    shower = add_command(family, "show", _show, "show an operation", _SHOW)
    shower.add_argument("id")
    watcher = add_command(family, "watch", _watch, "follow an operation to its end", _WATCH)
    watcher.add_argument("id", nargs="?")
    canceller = add_command(family, "cancel", _cancel, "begin nothing more of it", _CANCEL)
    canceller.add_argument("id")
    canceller.add_argument("--reason", metavar="TEXT", help="why, for the audit")
    add_waiting(canceller)
    canceller.set_defaults(wait=False)


def _list(args: Namespace) -> int:
    answer = collector_of(args).get(OPERATIONS, {"state": args.state, "limit": args.limit})
    if args.json:
        print_json(answer)
        return 0
    rows = [
        (
            one["id"],
            title(one),
            styled(one["state"]),
            f"{one['ended']}/{one['total']}",
            one["failures"] or "",
            one["issuer"],
            moment(one["created"]),
            one["reason"],
        )
        for one in answer["operations"]
    ]
    headings = ("ID", "WHAT", "STATE", "ENDED", "FAILED", "WHO", "CREATED", "WHY")
    print_table(headings, rows, right=("ENDED", "FAILED"), droppable=("WHY", "CREATED", "WHO"))
    tell_rest(len(rows), answer["total"], "operations")
    return 0


def _show(args: Namespace) -> int:
    collector = collector_of(args)
    operation = _one(collector, args.id)
    if args.json:
        outcome.print_whole(collector, operation)
        return 0
    console().print(title(operation), styled(operation["state"]))
    console().print(tally(operation))
    print()
    print_facts(_facts(operation))
    outcome.show_failures(collector, operation)
    return 0


def _facts(operation: Mapping[str, Any]) -> dict[str, object]:
    by = f"{operation['issuer']} from {operation['source'] or 'here'}"
    facts = {
        "Id": operation["id"],
        "Asked for": f"{moment(operation['created'])} by {by}",
        "Ended": f"{moment(operation['finished'])}, in {took(operation)}"
        if operation["finished"]
        else None,
        "Why": operation["reason"],
        "Problem": operation["problem"],
        "Schedule": operation["schedule"],
        "At a time": operation["max_parallel"],
        "In a minute": operation["max_per_minute"],
        "Failures": operation["stop_after_failures"]
        and f"{operation['failures']} of at most {operation['stop_after_failures']}",
    }
    return {name: value for name, value in facts.items() if value}


def _watch(args: Namespace) -> int:
    collector = collector_of(args)
    return wait(args, collector, _one(collector, args.id or _newest(collector)))


def _newest(collector: Collector) -> str:
    running = collector.get(OPERATIONS, {"state": "running", "limit": 1})["operations"]
    if not running:
        raise Failed("no operation is running: see `novacron operation list`")
    return str(running[0]["id"])


def _cancel(args: Namespace) -> int:
    collector = collector_of(args)
    path = f"{OPERATIONS}/{in_path(args.id)}/cancel"
    operation = collector.change("POST", path, reason=args.reason)
    if operation["finished"] and operation["state"] != "cancelled":
        raise Failed(f"it had ended already: {state_word(operation['state'])}")
    if args.wait:
        wait(args, collector, operation)
        return 0
    if args.json:
        print_json(operation)
        return 0
    under_way = sum(count for state, count in counts(operation) if not state.is_final)
    rest = f"; {under_way} go on to their end" if under_way else ""
    print(f"{plain(operation['id'])}: {state_word(operation['state'])}{rest}")
    return 0


def _one(collector: Collector, operation_id: str) -> dict[str, Any]:
    found: dict[str, Any] = collector.get(f"{OPERATIONS}/{in_path(operation_id)}")
    return found
