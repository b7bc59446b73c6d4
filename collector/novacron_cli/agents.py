"""novacron agent invite, invitations, uninvite, list, show, rename, revoke."""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from typing import Any

from novacron_cli.collector import Collector, in_path
from novacron_cli.command import Commands, add_command, add_family, collector_of
from novacron_cli.hosts import tell_rest
from novacron_cli.output import (
    MAX_NAME,
    coloured,
    moment,
    plain,
    print_facts,
    print_json,
    print_table,
)
from novacron_contract.errors import ConfigError, NotFound
from novacron_contract.units import duration, seconds

_INVITE = """\
examples:
  novacron agent invite
  novacron agent invite --address collector.example.com:8441
  novacron agent invite --uses 40 --ttl 8h --name 'rack 4'

Prints one line to run on the host. It holds a secret, which is shown this once: whoever has it may
add a host until it is used up or its time is over. No process list shows it there."""
_INVITATIONS = """\
examples:
  novacron agent invitations"""
_UNINVITE = """\
examples:
  novacron agent uninvite 0b8f9c1e-8a53-4b0e-9c55-0d5b0f3d4f6a

Nobody joins by it any more. Who has joined by it stays: see `novacron agent revoke`."""
_LIST = """\
examples:
  novacron agent list"""
_SHOW = """\
examples:
  novacron agent show kvm-7"""
_RENAME = """\
examples:
  novacron agent rename kvm-7 kvm-8"""
_REVOKE = """\
examples:
  novacron agent revoke kvm-7 --reason 'sold'

Within a second nothing is taken from it and no command goes there. The host may join again by a new
line: novacron-agent join --again."""


def add_to(commands: Commands) -> None:
    family = add_family(commands, "agent", "what measures hosts, and does what they are told")
    inviter = add_command(family, "invite", _invite, "let a host join, by one line", _INVITE)
    inviter.add_argument("--ttl", type=_seconds, metavar="TIME", help="how long (default: 1h)")
    inviter.add_argument("--uses", type=int, default=1, metavar="N", help="hosts (default: 1)")
    inviter.add_argument("--name", default="", help="what it is for")
    inviter.add_argument("--address", metavar="HOST:PORT", help="where hosts reach the collector")
    add_command(family, "invitations", _invitations, "list the lines that were made", _INVITATIONS)
    parser = add_command(family, "uninvite", _uninvite, "end such a line", _UNINVITE)
    parser.add_argument("id", help="as `novacron agent invitations` shows it")
    add_command(family, "list", _list, "list the agents that have joined", _LIST)
    shower = add_command(family, "show", _show, "show one of them", _SHOW)
    renamer = add_command(family, "rename", _rename, "give one another name", _RENAME)
    revoker = add_command(family, "revoke", _revoke, "take nothing from one any more", _REVOKE)
    for one in (shower, renamer, revoker):
        one.add_argument("agent", help="its name or id")
    renamer.add_argument("name", help="the new one")
    for one in (inviter, parser, renamer, revoker):
        one.add_argument("--reason", metavar="TEXT", help="why, for the audit")


def _invite(args: Namespace) -> int:
    body: dict[str, Any] = {"name": args.name, "uses": args.uses}
    if args.ttl is not None:
        body["seconds"] = args.ttl
    if args.address is not None:
        body["address"] = args.address
    made = collector_of(args).change("POST", "/v1/join-tokens", body, args.reason)
    if args.json:
        print_json(made)
        return 0
    until, uses = moment(made["expires"]), made["max_uses"]
    hosts = "the host" if uses == 1 else f"each of {uses} hosts"
    print(f"run on {hosts}, until {plain(until)}:", file=sys.stderr)
    print(f"echo '{plain(made['line'])}' | sudo novacron-agent join")
    return 0


def _invitations(args: Namespace) -> int:
    answer = collector_of(args).get("/v1/join-tokens", {"limit": 5000})
    if args.json:
        print_json(answer)
        return 0
    rows = [
        (
            one["id"],
            plain(one["name"], MAX_NAME),
            f"{one['uses']} of {one['max_uses']}",
            moment(one["expires"]),
            one["created_by"],
        )
        for one in answer["join_tokens"]
    ]
    print_table(("ID", "NAME", "USED", "EXPIRES", "BY"), rows)
    tell_rest(len(rows), answer["total"], "invitations")
    return 0


def _uninvite(args: Namespace) -> int:
    path = f"/v1/join-tokens/{in_path(args.id)}"
    answer = collector_of(args).change("DELETE", path, reason=args.reason)
    return _told(args, answer, f"{plain(args.id)}: nobody joins by it any more")


def _list(args: Namespace) -> int:
    collector = collector_of(args)
    answer = collector.get("/v1/identities", {"limit": 5000})
    if args.json:
        print_json(answer)
        return 0
    seen = {one["id"]: one for one in collector.get("/v1/agents", {"limit": 5000})["agents"]}
    rows = [
        (
            plain(one["name"], MAX_NAME),
            coloured(one["standing"]),
            _seen(seen.get(one["agent_id"])),
            one["host_id"] or "not known yet",
            moment(one["joined"]),
            one["agent_id"],
        )
        for one in answer["identities"]
    ]
    headings = ("NAME", "STANDING", "SEEN", "HOST", "JOINED", "ID")
    print_table(headings, rows, droppable=("JOINED", "HOST"))
    tell_rest(len(rows), answer["total"], "agents")
    return 0


def _show(args: Namespace) -> int:
    collector = collector_of(args)
    path = f"/v1/identities/{in_path(_agent_id(collector, args.agent))}"
    one = collector.get(path)
    if args.json:
        print_json(one)
        return 0
    standing = f"{one['standing']}: {one['reason']}" if one["reason"] else one["standing"]
    print_facts(
        {
            "name": one["name"],
            "id": one["agent_id"],
            "host": one["host_id"] or "not known yet",
            "standing": standing,
            "joined": f"{moment(one['joined'])} from {one['joined_from']}",
        }
    )
    rows = [
        (item["serial"], moment(item["issued"]), _when(item["used"]), moment(item["ends"]))
        for item in one["certificates"]
    ]
    print_table(("CERTIFICATE", "ISSUED", "USED FIRST", "ENDS"), rows)
    return 0


def _rename(args: Namespace) -> int:
    collector = collector_of(args)
    path = f"/v1/identities/{in_path(_agent_id(collector, args.agent))}"
    answer = collector.change("PATCH", path, {"name": args.name}, args.reason)
    return _told(args, answer, f"{plain(args.agent)} is {plain(answer['name'])} now")


def _revoke(args: Namespace) -> int:
    collector = collector_of(args)
    path = f"/v1/identities/{in_path(_agent_id(collector, args.agent))}/revoke"
    body = {"reason": args.reason} if args.reason else {}
    return _told(args, collector.change("POST", path, body), f"{plain(args.agent)}: revoked")


def _agent_id(collector: Collector, named: str) -> str:
    """
    Raises:
        NotFound: no agent is called so.
        ConfigError: several are.
    """
    every = collector.get("/v1/identities", {"limit": 5000})["identities"]
    found = [one["agent_id"] for one in every if named in (one["agent_id"], one["name"])]
    if not found:
        raise NotFound(f"no agent has joined as {named!r}: see `novacron agent list`")
    if len(found) > 1:
        raise ConfigError(f"{len(found)} agents are named {named!r}: say the id of one")
    return str(found[0])


def _told(args: Namespace, answer: Any, sentence: str) -> int:
    if args.json:
        print_json(answer)
    else:
        print(sentence)
    return 0


def _seen(agent: dict[str, Any] | None) -> str:
    return "never" if agent is None else f"{duration(agent['seen_age_s'])} ago"


def _when(text: str | None) -> str:
    return "never" if text is None else moment(text)


def _seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(str(err)) from err
