"""novacron user list, add, remove, grant, disable, enable, password."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from novacron_cli import asking, first_user, granting
from novacron_cli.collector import in_path
from novacron_cli.collector_file import default_config
from novacron_cli.command import Commands, Run, add_command, add_family, collector_of
from novacron_cli.hosts import tell_rest
from novacron_cli.output import moment, plain, print_json, print_table
from novacron_contract.errors import ConfigError

_LIST = """\
examples:
  novacron user list
  novacron user list --json | jq -r '.users[] | select(.disabled == null).name'"""
_ADD = f"""\
examples:
  novacron user add ann --grant operator
  novacron user add bob --grant viewer --grant vm-admin@tag:team=web --reason 'new in the team'
  sudo novacron user add root --admin --config /etc/novacron/collector.toml

The password is asked for twice, or read from standard input.
{granting.EXPLAINED}
With --config it goes to the collector's own database, on its machine: for the very first user,
who has to be an admin. Exit code 4: you are no admin."""
_REMOVE = """\
examples:
  novacron user remove bob --reason 'left the team'

Sessions and tokens end at once. What was done stays on record. The last admin stays."""
_GRANT = f"""\
examples:
  novacron user grant bob viewer operator@host:4c4c4544-0042
  novacron user grant bob --none

The grants named are all that the user has from now on.
{granting.EXPLAINED}"""
_DISABLE = """\
examples:
  novacron user disable bob --reason 'on leave'

Sessions and tokens end at once, and there are no new ones until `novacron user enable`."""
_ENABLE = """\
examples:
  novacron user enable bob"""
_PASSWORD = """\
examples:
  novacron user password              your own: the old one is asked for, too
  novacron user password bob          another's, as an admin
  printf '%s\\n' OLD NEW | novacron user password

Sessions that began with the old password end. Who has forgotten it asks an admin; an admin who
has: novacron user reset-password, on the collector's machine."""
_RESET = """\
examples:
  sudo novacron user reset-password ann
  sudo novacron user reset-password ann --config /etc/novacron/collector.toml < password-file

Changes the collector's own database, on its machine: whoever may read the settings there may do
it. It is on record. The user's sessions end."""


def add_to(commands: Commands) -> None:
    family = add_family(commands, "user", "who may log in, and what they may")
    add_command(family, "list", _list, "list the users and their grants", _LIST)
    adder = _changing(family, "add", _add, "add a user", _ADD)
    granting.add_grants(adder, "what the user may")
    adder.add_argument("--admin", action="store_true", help="the same as --grant admin")
    adder.add_argument("--config", type=Path, help="the collector's settings: the first user")
    _changing(family, "remove", _remove, "remove a user", _REMOVE)
    granter = _changing(family, "grant", _grant, "say what a user may", _GRANT)
    granter.add_argument("grants", nargs="*", metavar="ROLE[@SCOPE]")
    granter.add_argument("--none", action="store_true", help="nothing at all")
    _changing(family, "disable", _disable, "let a user in no more", _DISABLE)
    _changing(family, "enable", _enable, "let a user in again", _ENABLE)
    setter = add_command(family, "password", _password, "change a password", _PASSWORD)
    setter.add_argument("name", nargs="?", help="the user (default: yourself)")
    _add_reason(setter)
    resetter = _changing(
        family, "reset-password", _reset, "set a password on the collector's machine", _RESET
    )
    resetter.add_argument("--config", type=Path, help=f"its settings ({default_config()})")


def _changing(family: Commands, name: str, run: Run, summary: str, examples: str) -> ArgumentParser:
    parser = add_command(family, name, run, summary, examples)
    parser.add_argument("name", help="the user")
    _add_reason(parser)
    return parser


def _add_reason(parser: ArgumentParser) -> None:
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit")


def _list(args: Namespace) -> int:
    answer = collector_of(args).get("/v1/users", {"limit": 5000})
    if args.json:
        print_json(answer)
        return 0
    rows = [
        (
            user["name"],
            granting.shown(user["grants"]),
            moment(user["created"]),
            f"since {moment(user['disabled'])}" if user["disabled"] else "",
        )
        for user in answer["users"]
    ]
    print_table(("NAME", "GRANTS", "CREATED", "DISABLED"), rows)
    tell_rest(len(rows), answer["total"], "users")
    return 0


def _add(args: Namespace) -> int:
    grants = [*(args.grant or ()), *(["admin"] if args.admin else ())]
    wanted = granting.body(grants)
    if args.config is not None:
        if not args.admin:
            raise ConfigError("--config: for the first user alone, who has to be an --admin")
        first_user.add(args.config, args.name, asking.new_password(), args.reason or "")
        return _say(args, {}, "added")
    body = {"name": args.name, "password": asking.new_password(), "grants": wanted}
    return _say(args, collector_of(args).change("POST", "/v1/users", body, args.reason), "added")


def _remove(args: Namespace) -> int:
    answer = collector_of(args).change("DELETE", _path(args.name), reason=args.reason)
    return _say(args, answer, "removed")


def _grant(args: Namespace) -> int:
    if bool(args.grants) == args.none:
        raise ConfigError("say which grants the user has, or --none")
    return _patch(args, {"grants": granting.body(args.grants)}, "has these grants")


def _disable(args: Namespace) -> int:
    return _patch(args, {"disabled": True}, "disabled")


def _enable(args: Namespace) -> int:
    return _patch(args, {"disabled": False}, "enabled")


def _password(args: Namespace) -> int:
    own = collector_of(args).get("/v1/self")["name"]
    args.name = args.name or own
    body = {"old_password": asking.password("Old password")} if args.name == own else {}
    body["password"] = asking.new_password()
    return _patch(args, body, "has the new password")


def _reset(args: Namespace) -> int:
    config = args.config or default_config()
    first_user.reset(config, args.name, asking.new_password(), args.reason or "")
    return _say(args, {}, "has the new password")


def _patch(args: Namespace, body: dict[str, Any], done: str) -> int:
    answer = collector_of(args).change("PATCH", _path(args.name), body, args.reason)
    return _say(args, answer, done)


def _path(name: str) -> str:
    return f"/v1/users/{in_path(name)}"


def _say(args: Namespace, answer: Any, done: str) -> int:
    if args.json:
        print_json(answer)
    else:
        print(f"{plain(args.name)}: {done}")
    return 0
