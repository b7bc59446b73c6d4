"""novacron schedule list, create, show, pause, resume, delete."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from novacron_cli.collector import Collector, Failed, in_path
from novacron_cli.command import Commands, add_command, add_family, collector_of
from novacron_cli.hosts import tell_rest
from novacron_cli.orders import options, plan
from novacron_cli.orders.verbs import EXAMPLE_ARGUMENTS
from novacron_cli.orders.words import verbs_of
from novacron_cli.output import MAX_NAME, plain, print_facts, print_json, print_table
from novacron_contract.commands import VERBS, Verb, VerbSpec
from novacron_contract.errors import ConfigError

_PATH = "/v1/schedules"
_LIST = """\
examples:
  novacron schedule list"""
_SHOW = """\
examples:
  novacron schedule show nightly"""
_CREATE = """\
examples:
  novacron schedule create nightly {verb} --tag env=dev --cron '0 20 * * mon-fri'
  novacron schedule create nightly {verb} --tag env=dev --cron '0 20 * * *' --zone Europe/Berlin
  novacron schedule create once {verb} web-1 --at 2026-12-24T03:00:00Z

--cron is minute, hour, day, month, weekday. VMs are selected anew each time. It acts with the
rights that you have then, and goes on when you are not logged in."""
_CHANGE = """\
examples:
  novacron schedule {0} nightly --reason 'they are on holiday'

Your own, or anybody's as an admin."""


def add_to(commands: Commands) -> None:
    family = add_family(commands, "schedule", "operations at a time, or again and again")
    lister = add_command(family, "list", _list, "list the schedules", _LIST)
    lister.add_argument("--limit", type=int, default=500, help="rows (default: 500, at most 5000)")
    _add_create(family)
    shower = add_command(family, "show", _show, "show a schedule and its next runs", _SHOW)
    shower.add_argument("schedule", metavar="ID|NAME")
    for name, run, summary in (
        ("pause", _pause, "let it not run"),
        ("resume", _resume, "let it run again"),
        ("delete", _delete, "delete it"),
    ):
        changer = add_command(family, name, run, summary, _CHANGE.format(name))
        changer.add_argument("schedule", metavar="ID|NAME")
        changer.add_argument("--reason", metavar="TEXT", help="why, for the audit")


def _add_create(family: Commands) -> None:
    summary = "order something for later, or again and again"
    parser = family.add_parser("create", help=summary, description=f"{summary.capitalize()}.")
    parser.add_argument("schedule", metavar="NAME", help="of the schedule, such as nightly")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for spec in VERBS.values():
        if spec.verb in (Verb.CREATE, Verb.SNAPSHOTS):
            continue
        _add_verb(verbs, spec)


def _add_verb(verbs: Commands, spec: VerbSpec) -> None:
    examples = _CREATE.format(verb=f"{spec.verb.value}{EXAMPLE_ARGUMENTS.get(spec.verb, '')}")
    parser = add_command(verbs, spec.verb.value, _create, spec.summary, examples)
    options.add_order(parser, spec)
    when = parser.add_argument_group("when")
    either = when.add_mutually_exclusive_group(required=True)
    either.add_argument("--cron", metavar="'M H D M W'", help="such as '0 3 * * *'")
    either.add_argument("--at", metavar="TIME", help="once: RFC 3339")
    when.add_argument("--zone", metavar="NAME", help="of --cron, such as Europe/Berlin "
                      "(default: UTC)")  # fmt: skip


def _create(args: Namespace) -> int:
    if args.zone and args.at:
        raise ConfigError("--zone: goes with --cron; a time of --at has its own")
    collector, operation = collector_of(args), options.body(args)
    sure = plan.confirmation(
        collector, operation, selected=options.selects(args), yes=args.yes, when=" at its times"
    )
    if "confirm" in sure:
        operation["confirm"] = sure["confirm"]
    if args.verb is Verb.DELETE:  # those alone that were shown
        operation["targets"] = sure["targets"]
    when = {name: value for name in ("cron", "at", "zone") if (value := getattr(args, name))}
    body = {"name": args.schedule, "operation": operation, **when}
    made = collector.change("POST", _PATH, body, args.reason)
    if args.json:
        print_json(made)
        return 0
    print(f"{plain(made['name'])} ({plain(made['id'])}) runs next:")
    _print_runs(made)
    return 0


def _list(args: Namespace) -> int:
    answer = collector_of(args).get(_PATH, {"limit": args.limit})
    if args.json:
        print_json(answer)
        return 0
    rows = [
        (
            plain(one["name"], MAX_NAME),
            _what(one),
            _when(one),
            _standing(one),
            one["runs"],
            one["owner"],
            one["problem"],
            one["id"],
        )
        for one in answer["schedules"]
    ]
    headings = ("NAME", "WHAT", "WHEN", "NEXT", "RUNS", "OWNER", "PROBLEM", "ID")
    droppable = ("ID", "OWNER", "PROBLEM", "RUNS")
    print_table(headings, rows, right=("RUNS",), droppable=droppable)
    tell_rest(len(rows), answer["total"], "schedules")
    return 0


def _show(args: Namespace) -> int:
    schedule = _found(collector_of(args), args.schedule)
    if args.json:
        print_json(schedule)
        return 0
    facts = {
        "Name": schedule["name"],
        "Id": schedule["id"],
        "What": f"{_what(schedule)} {_targets(schedule)}",
        "When": _when(schedule),
        "Owner": schedule["owner"],
        "Last run": schedule["last_run"] and _local(schedule["last_run"], schedule),
        "Operation": schedule["last_operation"],
        "Runs": f"{schedule['runs']}, and {schedule['skipped']} skipped",
        "Problem": schedule["problem"],
    }
    print_facts({name: value for name, value in facts.items() if value})
    print(f"\nnext: {_standing(schedule) if not schedule['next_runs'] else ''}".rstrip())
    _print_runs(schedule)
    return 0


def _pause(args: Namespace) -> int:
    return _change(args, "PATCH", {"paused": True}, "paused")


def _resume(args: Namespace) -> int:
    return _change(args, "PATCH", {"paused": False}, "runs again")


def _delete(args: Namespace) -> int:
    return _change(args, "DELETE", None, "deleted")


def _change(args: Namespace, method: str, body: Any, done: str) -> int:
    collector = collector_of(args)
    schedule = _found(collector, args.schedule)
    path = f"{_PATH}/{in_path(schedule['id'])}"
    answer = collector.change(method, path, body, args.reason)
    if args.json:
        print_json(answer)
    else:
        print(f"{plain(schedule['name'])}: {done}")
    return 0


def _found(collector: Collector, id_or_name: str) -> dict[str, Any]:
    """
    Raises:
        Failed: none has that id or name, or several have.
    """
    every = collector.get(_PATH, {"limit": 5000})["schedules"]
    found = [one for one in every if one["id"] == id_or_name]
    found = found or [one for one in every if one["name"] == id_or_name]
    if len(found) > 1:
        raise Failed(f"{len(found)} schedules are named {id_or_name!r}: say the id of one")
    if not found:
        raise Failed(f"no schedule has the id or name {id_or_name!r}")
    only: dict[str, Any] = found[0]
    return only


def _what(schedule: Mapping[str, Any]) -> str:
    operation = schedule["operation"]
    return verbs_of(operation.get("steps") or [operation])


def _targets(schedule: Mapping[str, Any]) -> str:
    targets = schedule["operation"]["targets"]
    if "vms" in targets:
        return ", ".join(plain(vm, MAX_NAME) for vm in targets["vms"])
    return "VMs with " + ", ".join(
        f"{name} {_worded(of)}" for name, of in targets["select"].items()
    )


def _worded(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={of}" for name, of in value.items())
    return " or ".join(value) if isinstance(value, list) else str(value)


def _when(schedule: Mapping[str, Any]) -> str:
    return f"{schedule['cron']} ({schedule['zone']})" if schedule["cron"] else "once"


def _standing(schedule: Mapping[str, Any]) -> str:
    if schedule["paused"]:
        return "paused"
    runs = schedule["next_runs"]
    return _local(runs[0], schedule) if runs else "never again"


def _print_runs(schedule: Mapping[str, Any]) -> None:
    for run in schedule["next_runs"]:
        print(f"  {_local(run, schedule)}")


def _local(text: str, schedule: Mapping[str, Any]) -> str:
    """In the schedule's own zone."""
    at = datetime.fromisoformat(text).astimezone(_zone(schedule["zone"]))
    return at.strftime("%a %Y-%m-%d %H:%M %Z")


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError):  # this machine's tables do not have it
        return UTC
