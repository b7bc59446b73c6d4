"""Who may do what: roles, scopes, and the principal that a request is made by.

A principal has grants; a grant is a role within a scope. A role includes those before it:

viewer      sees everything
operator    and starts, stops, reboots, resets, suspends and resumes VMs
vm-admin    and creates, changes and deletes them
admin       and has users, tokens, agents, settings and the audit in hand

A scope limits what one may act upon, not what one sees: telemetry and SQL are the fleet's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from novacron_contract.errors import BadMessage


class Permission(StrEnum):
    READ = "read"
    VM_POWER = "vm.power"
    VM_MANAGE = "vm.manage"
    ADMINISTER = "administer"


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    VM_ADMIN = "vm-admin"
    ADMIN = "admin"

    @property
    def permissions(self) -> frozenset[Permission]:
        return frozenset(tuple(Permission)[: tuple(Role).index(self) + 1])


class ScopeKind(StrEnum):
    FLEET = "fleet"
    HOST = "host"
    TAG = "tag"


@dataclass(frozen=True, slots=True)
class Target:
    """What is acted upon. `tags` are the labels of a VM's resource. Without a host it is the fleet:
    no narrower scope reaches it."""

    host_id: str = ""
    vm_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


FLEET = Target()


@dataclass(frozen=True, slots=True)
class Scope:
    """`fleet`, `host:ID` or `tag:NAME=VALUE`, as people write them."""

    kind: ScopeKind = ScopeKind.FLEET
    name: str = ""
    value: str = ""

    def reaches(self, target: Target) -> bool:
        match self.kind:
            case ScopeKind.FLEET:
                return True
            case ScopeKind.HOST:
                return target.host_id != "" and target.host_id == self.value
            case ScopeKind.TAG:
                return target.vm_id != "" and target.tags.get(self.name) == self.value

    def __str__(self) -> str:
        match self.kind:
            case ScopeKind.FLEET:
                return "fleet"
            case ScopeKind.HOST:
                return f"host:{self.value}"
            case ScopeKind.TAG:
                return f"tag:{self.name}={self.value}"


def scope(text: str) -> Scope:
    """
    Raises:
        BadMessage: it is none of the three forms, or longer than 512 characters.
    """
    if text == "fleet":
        return Scope()
    if len(text) <= 512 and (match := re.fullmatch(r"host:(\S+)", text)):
        return Scope(ScopeKind.HOST, value=match[1])
    if len(text) <= 512 and (match := re.fullmatch(r"tag:([^=\s]+)=(.+)", text)):
        return Scope(ScopeKind.TAG, match[1], match[2])
    raise BadMessage(f"expected fleet, host:ID or tag:NAME=VALUE, got {text[:80]!r}")


@dataclass(frozen=True, slots=True)
class Grant:
    role: Role
    scope: Scope = Scope()

    def allows(self, permission: Permission, target: Target) -> bool:
        if permission not in self.role.permissions:
            return False
        return permission is Permission.READ or self.scope.reaches(target)


class PrincipalKind(StrEnum):
    USER = "user"  # a person who logged in
    TOKEN = "token"  # a program, with a person's rights or fewer
    ANONYMOUS = "anonymous"  # somebody on this machine
    SYSTEM = "system"  # NovaCron itself: a schedule, an expiry


@dataclass(frozen=True, slots=True)
class Principal:
    """`id` is the user's, also where a token speaks for them. `limit` is what a token was given:
    its user's rights and the limit must both allow."""

    kind: PrincipalKind
    id: str
    name: str
    grants: tuple[Grant, ...]
    limit: tuple[Grant, ...] | None = None
    token_id: str = ""

    def may(self, permission: Permission, target: Target = FLEET) -> bool:
        def any_of(grants: tuple[Grant, ...]) -> bool:
            return any(grant.allows(permission, target) for grant in grants)

        return any_of(self.grants) and (self.limit is None or any_of(self.limit))


ANONYMOUS = Principal(PrincipalKind.ANONYMOUS, "", "anonymous", (Grant(Role.VIEWER),))
SYSTEM = Principal(PrincipalKind.SYSTEM, "", "novacron", (Grant(Role.ADMIN),))
