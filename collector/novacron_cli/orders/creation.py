"""novacron vm create: VMs from a spec in a file."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from novacron_cli.collector import Collector, Failed
from novacron_cli.command import Commands, add_command, collector_of
from novacron_cli.orders import options, specs, verbs
from novacron_cli.orders.words import counted, name_of
from novacron_cli.output import MAX_NAME, plain, print_json, print_table
from novacron_contract import vm_spec
from novacron_contract.commands import VERBS, State, Verb
from novacron_contract.errors import ConfigError, Unavailable

_VMS = "/v1/vms"
_SHOWN = 100  # VMs that were made, in a table
_EXAMPLES = """\
examples:
  novacron vm create --example > web.yaml
  novacron vm create web.yaml --host kvm-a
  novacron vm create web.yaml --name 'web-{n}' --count 10 --dry-run
  novacron vm create web.yaml --set memory_mib=4096 --set 'disks[0].size_gib=40' --set tags.team=db
  novacron vm create - --user-data seed.yaml --wait --json < web.yaml

Without --host each VM comes to the host with the most memory left. Values of --set are YAML. What
is secret belongs into the spec's cloud_init or --user-data, never into --set: arguments are seen by
everybody on this machine. Ctrl-C ends the waiting alone.
Exit code 0: all were made (not waiting: it was taken). 1: some VM was not. 2: the spec is wrong;
3, 4, 5: see novacron --help."""


def add_to(family: Commands) -> None:
    spec = VERBS[Verb.CREATE]
    parser = add_command(family, spec.verb.value, _run, spec.summary, _EXAMPLES)
    parser.add_argument("spec", nargs="?", metavar="FILE", help="YAML or JSON; - is standard input")
    about = parser.add_argument_group("what a spec is").add_mutually_exclusive_group()
    about.add_argument("--example", action="store_true", help="print one with comments")
    about.add_argument("--schema", action="store_true", help="print the JSON schema of it")
    which = parser.add_argument_group("where, and how many")
    which.add_argument("--host", metavar="ID|NAME", help="(default: one with room for it)")
    which.add_argument("--name", help="in place of the spec's; of several such as 'web-{n}'")
    which.add_argument("--count", type=int, metavar="N", help="so many VMs (default: 1)")
    which.add_argument("--first", type=int, metavar="N",
                       help="the number in the first one's name (default: 1)")  # fmt: skip
    of_spec = parser.add_argument_group("in place of what the spec says")
    of_spec.add_argument("--set", action="append", default=[], metavar="PATH=VALUE",
                         help="such as disks[0].size_gib=20; repeatable")  # fmt: skip
    of_spec.add_argument("--user-data", type=Path, metavar="FILE",
                         help="for cloud-init: cloud_init.user_data")  # fmt: skip
    options.add_limits(parser, spec)
    verbs.add_following(parser)


def _run(args: Namespace) -> int:
    if args.example:
        print(files("novacron_cli.orders").joinpath("example.yaml").read_text(), end="")
        return 0
    if args.schema:
        print_json(vm_spec.schema())
        return 0
    collector, body = collector_of(args), _body(args)
    if args.dry_run:
        return _show_plan(args, collector.ask(_VMS, {**body, "dry_run": True}))
    operation = verbs.submit(args, collector, body, _VMS)
    code = verbs.follow(args, collector, operation)
    if verbs.waits(args) and not args.json:
        _show_made(collector, operation)
    return code


def _body(args: Namespace) -> dict[str, Any]:
    """As the API takes it.

    Raises:
        ConfigError: no file is given, or it is no spec.
    """
    if args.spec is None:
        raise ConfigError("which spec? Give a file; --example prints one")
    spec, document = specs.read(args.spec, args.set, args.user_data)
    specs.check(spec, args.name, args.spec, document)
    told = {name: getattr(args, name) for name in ("host", "name", "count", "first")}
    given = {name: value for name, value in told.items() if value is not None}
    return {"spec": spec, **given, **options.limits(args)}


def _show_plan(args: Namespace, plan: Mapping[str, Any]) -> int:
    """1: it would be refused."""
    problems = any(vm["problem"] for vm in plan["vms"])
    if args.json:
        print_json(plan)
        return 1 if problems else 0
    rows = [
        (plain(vm["name"], MAX_NAME), plain(vm["host"]["name"], MAX_NAME), vm["problem"] or "")
        for vm in plan["vms"]
    ]
    print_table(("VM", "HOST", "NOTE"), rows, folded=("NOTE",))
    print(f"would create {counted(plan['total'], 'VM')}")
    return 1 if problems else 0


def _show_made(collector: Collector, operation: Mapping[str, Any]) -> None:
    asked = {"operation": operation["id"], "state": State.SUCCEEDED.value, "limit": _SHOWN}
    try:
        answer = collector.get("/v1/commands", asked)
    except (Unavailable, Failed) as err:  # how many there are is known all the same
        print(f"which VMs were made cannot be told: {plain(err)}")
        return
    rows = [(name_of(one), one["vm"]["id"], one["host"]) for one in reversed(answer["commands"])]
    if rows:
        print()
        print_table(("VM", "ID", "HOST"), rows, droppable=("HOST",))
    if answer["total"] > len(rows):
        print(f"… and {answer['total'] - len(rows)} more: novacron command list --state succeeded "
              f"--operation {plain(operation['id'])}")  # fmt: skip
