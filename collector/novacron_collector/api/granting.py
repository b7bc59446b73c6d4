"""Grants in requests and answers: [{"role": "operator", "scope": "host:ID"}]."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from novacron_contract.access import Grant, Role, scope
from novacron_contract.errors import BadMessage
from novacron_store.state.granting import MOST_GRANTS

_EXPECTED = 'grants: expected a list such as [{"role": "operator", "scope": "fleet"}]'


def parsed(body: Any) -> tuple[Grant, ...]:
    """
    Raises:
        BadMessage: it is no list of grants.
    """
    if not isinstance(body, list):
        raise BadMessage(_EXPECTED)
    if len(body) > MOST_GRANTS:
        raise BadMessage(f"grants: {len(body)}, expected {MOST_GRANTS} or fewer")
    return tuple(map(_grant, body))


def shown(grants: Iterable[Grant]) -> list[dict[str, str]]:
    return [{"role": of.role.value, "scope": str(of.scope)} for of in grants]


def _grant(body: Any) -> Grant:
    match body:
        case {"role": str(role), "scope": str(written), **rest} if not rest:
            return Grant(_role(role), scope(written))
        case {"role": str(role), **rest} if not rest:
            return Grant(_role(role))
    raise BadMessage(_EXPECTED)


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError as err:
        raise BadMessage(f"role: expected one of {', '.join(Role)}, got {name[:60]!r}") from err
