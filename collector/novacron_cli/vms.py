"""novacron vm list, novacron vm show; the verbs are in orders."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from novacron_cli.collector import in_path
from novacron_cli.command import Commands, add_command, add_family, collector_of
from novacron_cli.hosts import add_listing, ago, cpu, memory, tell_rest
from novacron_cli.orders import creation, deletion, snapshots, verbs
from novacron_cli.output import (
    MAX_NAME,
    coloured,
    console,
    moment,
    plain,
    print_facts,
    print_json,
    print_table,
)
from novacron_contract.metrics import VmState
from novacron_contract.units import readable

_LIST_EXAMPLES = """\
examples:
  novacron vm list
  novacron vm list --host kvm-a --state running
  novacron vm list --sort -network_receive --limit 10"""
_SHOW_EXAMPLES = """\
examples:
  novacron vm show web-1
  novacron vm show 8f0f3a8e-5d0b-4a53-9a5c-1d5cf5ff4bb2 --json"""
_VALUES = ("CPU", "MEMORY", "NET IN", "NET OUT", "READ", "WRITE", "SEEN")
_DROPPABLE = ("ID", "READ", "WRITE", "NET IN", "NET OUT", "HOST")


def add_to(commands: Commands) -> None:
    family = add_family(commands, "vm", "virtual machines")
    summary = "list the VMs with their newest values"
    listing = add_command(family, "list", _list, summary, _LIST_EXAMPLES)
    add_listing(listing)
    listing.add_argument("--host", metavar="ID|NAME", help="only those on this host")
    listing.add_argument("--state", choices=list(VmState), help="only those in this state")
    listing.add_argument("--deleted", action="store_true", help="those that were deleted instead")
    summary = "show a VM: values, description, former names and hosts"
    show = add_command(family, "show", _show, summary, _SHOW_EXAMPLES)
    show.add_argument("vm", metavar="ID|NAME")
    creation.add_to(family)
    verbs.add_to(family)
    deletion.add_to(family)
    snapshots.add_to(family)


def _list(args: Namespace) -> int:
    asked = {
        "q": args.search,
        "sort": args.sort,
        "limit": args.limit,
        "host": args.host,
        "state": args.state,
        "deleted": "true" if args.deleted else None,
    }
    answer = collector_of(args).get("/v1/vms", asked)
    if args.json:
        print_json(answer)
        return 0
    headings = ("NAME", "HOST", "STATE", "NEWS", *_VALUES, "ID")
    print_table(headings, map(_row, answer["vms"]), right=_VALUES, droppable=_DROPPABLE)
    tell_rest(len(answer["vms"]), answer["total"], "VMs")
    return 0


def _row(vm: dict[str, Any]) -> tuple[object, ...]:
    return (
        plain(vm["name"], MAX_NAME),
        vm["host"]["name"],
        coloured(vm["state"]),
        coloured(vm["freshness"]),
        cpu(vm),
        memory(vm),
        readable(vm["network_receive"], "By/s"),
        readable(vm["network_transmit"], "By/s"),
        readable(vm["disk_read"], "By/s"),
        readable(vm["disk_write"], "By/s"),
        ago(vm),
        vm["id"],
    )


def _show(args: Namespace) -> int:
    vm = collector_of(args).get(f"/v1/vms/{in_path(args.vm)}")
    if args.json:
        print_json(vm)
        return 0
    console().print(plain(vm["name"]), coloured(vm["state"]), coloured(vm["freshness"]), "\n")
    facts = {"id": vm["id"], "host": vm["host"]["name"], "seen": ago(vm)}
    if vm["deleted"]:
        facts["deleted"] = moment(vm["deleted"])
    print_facts(facts | vm["resource"])
    print()
    values = [value for value in vm["metrics"] if value["metric"] != "vm.state"]
    print_table(("METRIC", "SERIES", "VALUE"), map(_value, values), right=("VALUE",))
    print()
    print_table(("FROM", "TO", "NAME", "HOST"), map(_period, vm["history"]))
    return 0


def _period(period: dict[str, Any]) -> tuple[str, str, str, str]:
    end = moment(period["until"]) if period["until"] else "now"
    return moment(period["since"]), end, period["name"], period["host"]["name"]


def _value(value: dict[str, Any]) -> tuple[str, str, str]:
    attributes = " ".join(f"{key}={text}" for key, text in value["attributes"].items())
    return value["metric"], attributes, readable(value["value"], value["unit"])
