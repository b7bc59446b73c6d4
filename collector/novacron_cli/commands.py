"""novacron command list and show: one verb for one VM each."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from typing import Any

from novacron_cli.collector import Collector, in_path
from novacron_cli.command import Commands, add_command, add_family, collector_of
from novacron_cli.hosts import tell_rest
from novacron_cli.orders.words import name_of, state_word, styled, verbs_of, why
from novacron_cli.output import console, moment, plain, print_facts, print_json, print_table
from novacron_contract.commands import State, Verb

_LIST = """\
examples:
  novacron command list --vm web-1
  novacron command list --state failed --verb stop
  novacron command list --operation 01993c1e-8a53-7b0e-9c55-0d5b0f3d4f6a --json

The newest first."""
_SHOW = """\
examples:
  novacron command show 01993c1e-8a53-7b0e-9c55-0d5b0f3d4f6b

With all that was reported of it."""
_PATH = "/v1/commands"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def add_to(commands: Commands) -> None:
    family = add_family(commands, "command", "what each VM was ordered, and what became of it")
    lister = add_command(family, "list", _list, "list the commands", _LIST)
    lister.add_argument("--vm", metavar="ID|NAME", help="only those of this VM")
    lister.add_argument("--host", metavar="ID|NAME", help="only those of this host's VMs")
    lister.add_argument("--state", choices=list(State), metavar="STATE",
                        help=f"only those in this state: {', '.join(State)}")  # fmt: skip
    lister.add_argument("--verb", choices=list(Verb), help="only these")
    lister.add_argument("--operation", metavar="ID", help="only those of this operation")
    lister.add_argument("--limit", type=int, default=100, help="rows (default: 100, at most 5000)")
    shower = add_command(family, "show", _show, "show a command and its history", _SHOW)
    shower.add_argument("id")


def _list(args: Namespace) -> int:
    collector = collector_of(args)
    asked: dict[str, str | int | None] = {
        "vm": _id(collector, "vms", args.vm),
        "host": _id(collector, "hosts", args.host),
        "state": args.state,
        "verb": args.verb,
        "operation": args.operation,
        "limit": args.limit,
    }
    answer = collector.get(_PATH, asked)
    if args.json:
        print_json(answer)
        return 0
    rows = list(map(_row, answer["commands"]))
    headings = ("VM", "VERB", "STATE", "CREATED", "WHY", "ID", "OPERATION")
    print_table(headings, rows, droppable=("OPERATION", "WHY", "CREATED"))
    tell_rest(len(rows), answer["total"], "commands")
    return 0


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    said, made = plain(why(one), 80), moment(one["created"])
    ids = (one["id"], one["operation"])
    return (name_of(one), verbs_of([one]), styled(one["state"]), made, said, *ids)


def _id(collector: Collector, kind: str, id_or_name: str | None) -> str | None:
    """The API knows commands by ids."""
    if id_or_name is None or _UUID.fullmatch(id_or_name):
        return id_or_name
    return str(collector.get(f"/v1/{kind}/{in_path(id_or_name)}")["id"])


def _show(args: Namespace) -> int:
    command = collector_of(args).get(f"{_PATH}/{in_path(args.id)}")
    if args.json:
        print_json(command)
        return 0
    console().print(f"{verbs_of([command])} {name_of(command, 200)}", styled(command["state"]))
    print()
    print_facts(_facts(command))
    print()
    rows = [
        (moment(event["at"]), styled(event["state"]), event["text"]) for event in command["events"]
    ]
    print_table(("TIME", "STATE", "TEXT"), rows, folded=("TEXT",))
    return 0


def _facts(command: dict[str, Any]) -> dict[str, object]:
    arguments = " ".join(f"{name}={_value(of)}" for name, of in command["arguments"].items())
    facts = {
        "Id": command["id"],
        "Operation": command["operation"],
        "VM": command["vm"]["id"],
        "Host": command["host"],
        "Arguments": arguments,
        "Why": why(command),
        "Late": command["late"] and state_word(command["late"]),
        "Deliveries": command["deliveries"],
        "Begins until": command["expires"] and moment(command["expires"]),
        "Begun": command["begun"] and moment(command["begun"]),
        "Ended": command["ended"] and moment(command["ended"]),
    }
    return {name: value for name, value in facts.items() if value}


def _value(of: object) -> object:
    return json.dumps(of) if isinstance(of, dict) else of
