"""What became of an operation: a line, a table of what did not succeed and why, an exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from novacron_cli.collector import Collector, Failed
from novacron_cli.orders.words import counts, name_of, styled, tally, title, took, verbs_of, why
from novacron_cli.output import console, plain, print_json, print_table
from novacron_contract.commands import State
from novacron_contract.errors import Unavailable

UNKNOWN = 5
_SHOWN = 50  # commands of each state


def exit_code(operation: Mapping[str, Any]) -> int:
    """Of one that has ended."""
    if operation["commands"].get(State.OUTCOME_UNKNOWN):
        return UNKNOWN
    return 0 if operation["state"] == "succeeded" else 1


def show(collector: Collector, operation: Mapping[str, Any]) -> int:
    """To standard output, of one that has ended; its exit code."""
    code = exit_code(operation)
    mark = Text("✓ ", "green") if code == 0 else Text("✗ ", "red")
    line = Text.assemble(mark, f"{title(operation)}: ", tally(operation), f" in {took(operation)}")
    console().print(line)
    if operation["problem"]:
        print(plain(operation["problem"]))
    try:
        show_failures(collector, operation)
    except (Unavailable, Failed) as err:  # what became of it is known all the same
        print(f"which VMs, and why, cannot be told: {plain(err)}")
    if code:
        print(f"\nto see it again: novacron operation show {plain(operation['id'])}")
    return code


def print_whole(collector: Collector, operation: Mapping[str, Any]) -> int:
    """As JSON, with those of its commands that did not succeed; its exit code."""
    try:
        told = {"not_succeeded": _failures(collector, operation)}
    except (Unavailable, Failed) as err:
        print(f"which VMs, and why, cannot be told: {plain(err)}", file=sys.stderr)
        told = {}
    print_json({**operation, **told})
    return exit_code(operation)


def show_failures(collector: Collector, operation: Mapping[str, Any]) -> None:
    """Those of its commands that ended otherwise than well."""
    rows = [_row(one) for one in _failures(collector, operation)]
    if rows:
        several = len(operation["steps"]) > 1
        headings = ("VM", "VERB", "STATE", "WHY", "COMMAND")
        droppable = ("COMMAND",) if several else ("COMMAND", "VERB")
        print()
        print_table(headings, rows, droppable=droppable, folded=("WHY",))
    for state, count in _bad(operation):
        if count > _SHOWN:
            print(f"… and {count - _SHOWN} more: novacron command list --state {state.value} "
                  f"--operation {plain(operation['id'])}")  # fmt: skip


def _failures(collector: Collector, operation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The first of each state."""
    found: list[Mapping[str, Any]] = []
    for state, _ in _bad(operation):
        asked = {"operation": operation["id"], "state": state.value, "limit": _SHOWN}
        found += reversed(collector.get("/v1/commands", asked)["commands"])
    return found


def _bad(operation: Mapping[str, Any]) -> list[tuple[State, int]]:
    return [
        (state, count)
        for state, count in counts(operation)
        if state.is_final and state is not State.SUCCEEDED
    ]


def _row(command: Mapping[str, Any]) -> tuple[object, ...]:
    verb = verbs_of([command]) + (" (undoing)" if command["undoes"] else "")
    return name_of(command), verb, styled(command["state"]), plain(why(command)), command["id"]
