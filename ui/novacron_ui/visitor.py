"""Who sits at the browser, as pages and scripts are told."""

from __future__ import annotations

from typing import Any

from novacron_contract.access import ANONYMOUS, Permission, Principal, PrincipalKind, Target
from novacron_contract.commands import VERBS, Verb, VerbSpec
from novacron_ui.access.visitors import VISITOR, permissions

_UNLISTED = frozenset(  # what they are upon no page lists yet: by the command line and the API
    {
        Verb.ATTACH_DISK,
        Verb.DETACH_DISK,
        Verb.GROW_DISK,
        Verb.ATTACH_NIC,
        Verb.DETACH_NIC,
        Verb.REVERT,
        Verb.DELETE_SNAPSHOT,
        Verb.SNAPSHOTS,
    }
)


def shown(principal: Principal | None) -> dict[str, Any]:
    """Without a visitor, which is where no browser asks: as of one who may only look."""
    of = principal or ANONYMOUS
    return {
        "name": of.name,
        "logged_in": of.kind is PrincipalKind.USER,
        "grants": [{"role": one.role.value, "scope": str(one.scope)} for one in of.grants],
        "permissions": [one.value for one in permissions(of)],
    }


def verbs() -> list[dict[str, Any]]:
    """What this visitor is offered, upon whatever VM; nothing to one who may only look."""
    may = permissions(VISITOR.get() or ANONYMOUS)
    offered = [of for of in VERBS.values() if of.sensible_in and of.verb not in _UNLISTED]
    return [_verb(of) for of in offered if of.permission in may]


def may(permission: Permission, target: Target) -> bool:
    return (VISITOR.get() or ANONYMOUS).may(permission, target)


def _verb(spec: VerbSpec) -> dict[str, Any]:
    return {
        "verb": spec.verb.value,
        "summary": spec.summary,
        "permission": spec.permission.value,
        "sensible_in": sorted(spec.sensible_in),
        "destructive": spec.destructive,
        "alone": spec.alone,
        "any_of": list(spec.any_of),
        "arguments": [
            {
                "name": name,
                "summary": of.summary,
                "required": of.is_required,
                "whole": of.whole,
                "default": of.default,
                "choices": list(of.choices),
                "minimum": of.minimum if of.minimum > float("-inf") else None,
                "maximum": of.maximum if of.maximum < float("inf") else None,
            }
            for name, of in spec.arguments.items()
            if name != "plan"  # it orders nothing
        ],
    }
