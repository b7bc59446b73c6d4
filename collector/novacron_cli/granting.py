"""Grants as they are written on the command line: ROLE, or ROLE@SCOPE."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from novacron_contract.access import Grant, Role, scope
from novacron_contract.errors import BadMessage, ConfigError

EXPLAINED = """\
A grant is ROLE or ROLE@SCOPE. Roles: viewer, operator, vm-admin, admin. Scopes: fleet (the
default), host:ID, tag:NAME=VALUE."""


def add_grants(parser: ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--grant", action="append", metavar="ROLE[@SCOPE]", help=f"{what}; repeatable"
    )


def parsed(text: str) -> Grant:
    """
    Raises:
        ConfigError: it is no grant.
    """
    role, _, within = text.partition("@")
    try:
        return Grant(Role(role), scope(within or "fleet"))
    except ValueError as err:
        roles = ", ".join(Role)
        raise ConfigError(f"{text!r}: expected ROLE or ROLE@SCOPE; roles: {roles}") from err
    except BadMessage as err:
        raise ConfigError(f"{text!r}: {err}") from err


def body(texts: Iterable[str]) -> list[dict[str, str]]:
    """As the API takes them."""
    grants = map(parsed, texts)
    return [{"role": of.role.value, "scope": str(of.scope)} for of in grants]


def shown(grants: list[dict[str, Any]] | None) -> str:
    if grants is None:
        return "all of its user's"
    parts = (
        of["role"] if of["scope"] == "fleet" else f"{of['role']}@{of['scope']}" for of in grants
    )
    return ", ".join(parts) or "none"
