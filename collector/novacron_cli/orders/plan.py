"""What an operation would do, shown, and confirmed by whoever reads it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from novacron_cli.collector import Collector, Failed
from novacron_cli.orders.words import counted, verbs_of
from novacron_cli.output import MAX_NAME, coloured, plain, print_table
from novacron_contract.commands import VERBS, Verb
from novacron_contract.errors import ConfigError

OPERATIONS = "/v1/operations"
_SHOWN = 20  # VMs of a plan that is to be confirmed
_YES = ("y", "yes")
_COSTS = {
    Verb.REVERT: "costs guests what they have written since",
    Verb.DELETE_SNAPSHOT: "is for good",
}


def planned(collector: Collector, body: Mapping[str, Any]) -> dict[str, Any]:
    """Nothing is done.

    Raises:
        Failed: a VM that is named is not there.
    """
    plan: dict[str, Any] = collector.ask(OPERATIONS, {**body, "dry_run": True})
    return plan


def show(plan: Mapping[str, Any]) -> int:
    """To standard output; the exit code says whether it would be taken."""
    print_vms(plan)
    print(f"would {_what(plan)}")
    if plan["destructive"] and plan["vms"]:
        print(f"{_at_stake(plan)[0]}: it has to be confirmed, see --yes")
    return exit_code(plan)


def exit_code(plan: Mapping[str, Any]) -> int:
    """1: it would be refused."""
    return 0 if plan["vms"] and not any(vm["problem"] for vm in plan["vms"]) else 1


def confirmation(
    collector: Collector, body: Mapping[str, Any], *, selected: bool, yes: bool, when: str = ""
) -> Mapping[str, Any]:
    """What the request has in addition: the confirmation, where one is needed, and just the VMs
    that were shown. VMs that are named, of what costs nothing, need none: the command says it all.
    `when` it is to be done, in words: empty: now.

    Raises:
        ConfigError: it has to be confirmed, and there is no terminal to ask on.
        Failed: it was not confirmed.
    """
    can_ask = sys.stdin.isatty() and sys.stderr.isatty()
    destructive = VERBS[Verb(body["verb"])].is_destructive(body.get("arguments", {}))
    if not destructive and (yes or not selected or not can_ask):
        return {}
    plan = planned(collector, body)
    _require_possible(plan)
    if not yes:
        if not can_ask:
            raise ConfigError(f"to {_what(plan)} {_at_stake(plan)[1]}: confirm it with --yes")
        _ask(plan, _what(plan) + when)
    confirmed = {"confirm": plan["confirm"]} if plan["destructive"] else {}
    return {"targets": {"vms": [vm["id"] for vm in plan["vms"]]}, **confirmed}


def _require_possible(plan: Mapping[str, Any]) -> None:
    """Before anybody types anything: it would be refused."""
    if not plan["vms"]:
        raise Failed("no VM is as selected: nothing was done")
    problems = [vm["problem"] for vm in plan["vms"] if vm["problem"]]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Failed(f"nothing was done: {problems[0]}{more}")


def _ask(plan: Mapping[str, Any], what: str) -> None:
    print_vms(plan, _SHOWN, to_stderr=True)
    right, prompt = _typed(plan, what) if plan["destructive"] else _agreed(what)
    try:
        print(prompt, end="", file=sys.stderr, flush=True)
        typed = sys.stdin.readline()
    except KeyboardInterrupt:
        print("\nnothing was done", file=sys.stderr)
        raise
    if not typed.endswith("\n"):
        print(file=sys.stderr)
    if not right(typed.strip()):
        raise Failed("not confirmed: nothing was done")


def _agreed(what: str) -> tuple[Callable[[str], bool], str]:
    return lambda typed: typed.casefold() in _YES, f"{what[:1].upper()}{what[1:]}? [y/N] "


def _typed(plan: Mapping[str, Any], what: str) -> tuple[Callable[[str], bool], str]:
    """A name that nobody can type is confirmed by the id."""
    wanted = str(plan["confirm"])
    if plain(wanted, len(wanted)) != wanted or wanted != wanted.strip():
        wanted = str(plan["vms"][0]["id"])
    warning = _at_stake(plan)[0]
    warning = f"{warning[:1].upper()}{warning[1:]}."
    return lambda typed: typed == wanted, f"{warning}\nType {wanted} to {what}: "


def print_vms(plan: Mapping[str, Any], most: int | None = None, *, to_stderr: bool = False) -> None:
    vms = plan["vms"]
    rows = [
        (
            plain(vm["name"], MAX_NAME),
            plain(vm["host"]["name"], MAX_NAME),
            coloured(vm["state"] or "–"),
            _note(plan, vm),
            vm["id"],
        )
        for vm in vms[:most]
    ]
    if rows:
        print_table(("VM", "HOST", "STATE", "NOTE", "ID"), rows, droppable=("ID",),
                    folded=("NOTE",), to_stderr=to_stderr)  # fmt: skip
    if len(vms) > len(rows):
        print(f"… and {len(vms) - len(rows)} more", file=sys.stderr if to_stderr else sys.stdout)


def _note(plan: Mapping[str, Any], vm: Mapping[str, Any]) -> str:
    if vm["problem"]:
        return str(vm["problem"])
    verb = plan["steps"][0]["verb"]
    if vm["sensible"] is not False or verb not in tuple(Verb):
        return ""
    return f"{verb} is for VMs that are {' or '.join(sorted(VERBS[Verb(verb)].sensible_in))}"


def _at_stake(plan: Mapping[str, Any]) -> tuple[str, str]:
    """Of what is destructive: what may happen, and that it may."""
    if any(step["verb"] == Verb.DELETE for step in plan["steps"]):
        return "what was created with a VM goes with it, for good", "is for good"
    for verb, costs in _COSTS.items():
        if any(step["verb"] == verb for step in plan["steps"]):
            return VERBS[verb].at_stake, costs
    lost = "what they have not written"
    return f"guests may lose {lost}", f"may cost guests {lost}"


def _what(plan: Mapping[str, Any]) -> str:
    return f"{verbs_of(plan['steps'])} {counted(len(plan['vms']), 'VM')}"
