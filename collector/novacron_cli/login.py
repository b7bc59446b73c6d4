"""novacron login, logout, whoami."""

from __future__ import annotations

import getpass
from argparse import Namespace
from contextlib import suppress

from novacron_cli import asking, credentials, granting
from novacron_cli.collector import Collector, NotAllowed, require_private
from novacron_cli.command import Commands, add_command, authority_of, collector_of
from novacron_cli.output import moment, plain, print_facts, print_json

_LOGIN = """\
examples:
  novacron login ann
  novacron login ann --url https://novacron.example.com:8440
  novacron login ann < password-file

The password is asked for, or read from standard input. The session is kept in
~/.config/novacron/credentials.json, which you alone can read, until it is not used for long
(12 h) or old (7 d). Programs are given a token instead: novacron token create --help.
Exit code 4: the name or the password is wrong."""
_LOGOUT = """\
examples:
  novacron logout"""
_WHOAMI = """\
examples:
  novacron whoami
  novacron whoami --json | jq -r .permissions[]

Exit code 4: you are not logged in, or not any more."""


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "login", _login, "begin a session as a user", _LOGIN)
    parser.add_argument("name", nargs="?", help="the user (default: your name on this machine)")
    add_command(commands, "logout", _logout, "end the session", _LOGOUT)
    add_command(commands, "whoami", _whoami, "who you are, and what you may", _WHOAMI)


def _login(args: Namespace) -> int:
    name = args.name or getpass.getuser()
    require_private(args.url)
    body = {"name": name, "password": asking.password()}
    session = Collector(args.url, ca_file=authority_of(args)).change("POST", "/v1/sessions", body)
    credentials.keep(args.url, session["name"], session["token"])
    if args.json:
        print_json({key: value for key, value in session.items() if key != "token"})
    else:
        print(f"logged in as {plain(session['name'])} until {moment(session['expires'])}")
    return 0


def _logout(args: Namespace) -> int:
    session, said = credentials.kept(args.url), "there was no session"
    if session:
        with suppress(NotAllowed):  # it had ended by itself
            Collector(args.url, session, authority_of(args)).change("DELETE", "/v1/sessions")
            said = "logged out"
        credentials.forget(args.url)
    if args.json:
        print_json({})
    else:
        print(said)
    return 0


def _whoami(args: Namespace) -> int:
    told = collector_of(args).get("/v1/self")
    if args.json:
        print_json(told)
        return 0
    facts = {"Name": told["name"], "Kind": told["kind"], "Grants": granting.shown(told["grants"])}
    if told["limit"] is not None:
        facts["At most"] = granting.shown(told["limit"])
    print_facts({**facts, "May": ", ".join(told["permissions"]) or "nothing"})
    return 0
