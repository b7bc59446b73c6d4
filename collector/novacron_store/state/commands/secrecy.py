"""What of an operation's arguments is for its agents alone: such as cloud-init data, which may hold
passwords. It is in a table that no listing, export or backup reads, and only until the operation
has ended. Commands have the same arguments without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from novacron_contract.commands import Order, Verb
from novacron_contract.vm_spec import SECRETS
from novacron_store.state.commands.records import Command
from novacron_store.state.tables.commands import operation_secrets

WITHHELD = "(withheld)"
Secrets = Mapping[str, Any]  # parts of arguments, nested as these are


def keep(connection: Connection, operation_id: str, secrets: Secrets) -> None:
    if secrets:
        row = {"operation_id": operation_id, "secrets": dict(secrets)}
        connection.execute(insert(operation_secrets), [row])


def drop(connection: Connection, operation_id: str) -> None:
    which = operation_secrets.c.operation_id == operation_id
    connection.execute(delete(operation_secrets).where(which))


def whole_order(connection: Connection, of: Command, now: datetime) -> Order | None:
    """As it is delivered now, with what nobody else is shown; None: that is not there any more, as
    in a database that was restored."""
    made = of.order(now)
    if of.verb is not Verb.CREATE:
        return made
    statement = select(operation_secrets.c.secrets)
    found = connection.scalar(statement.where(operation_secrets.c.operation_id == of.operation_id))
    if found is not None:
        return replace(made, arguments=_joined(made.arguments, found))
    lacks = any(_at(made.arguments, path) == WITHHELD for path in SECRETS)
    return None if lacks else made


def withhold(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments as everybody may see them, and what of them is secret."""
    shown, secrets = dict(arguments), dict[str, Any]()
    for path in SECRETS:
        shown, taken = _without(shown, path)
        secrets = _joined_all(secrets, taken)
    return shown, secrets


def _without(
    whole: Mapping[str, Any], path: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    name, *rest = path
    inner = whole.get(name)
    if inner is None or (rest and not isinstance(inner, Mapping)):
        return dict(whole), {}
    if not rest:
        return {**whole, name: WITHHELD}, {name: inner}
    shown, taken = _without(inner, rest)
    return {**whole, name: shown}, {name: taken} if taken else {}


def _joined_all(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    both = {**one, **other}
    for name in one.keys() & other.keys():
        both[name] = _joined_all(one[name], other[name])
    return both


def _joined(shown: Mapping[str, Any], secrets: Secrets) -> dict[str, Any]:
    """Only where something was withheld."""
    return {
        **shown,
        **{
            name: _joined(shown[name], value) if isinstance(shown[name], Mapping) else value
            for name, value in secrets.items()
            if name in shown
        },
    }


def _at(arguments: Any, path: Iterable[str]) -> Any:
    """None: nothing."""
    for name in path:
        arguments = arguments.get(name) if isinstance(arguments, Mapping) else None
    return arguments
