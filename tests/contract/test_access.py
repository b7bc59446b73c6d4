"""Roles and scopes: more is never less, and a token never exceeds its user."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_contract.access import (
    FLEET,
    Grant,
    Permission,
    Principal,
    PrincipalKind,
    Role,
    Scope,
    ScopeKind,
    Target,
    scope,
)
from novacron_contract.errors import BadMessage

NAMES = st.sampled_from(["a", "b"])
SCOPES = st.one_of(
    st.just(Scope()),
    NAMES.map(lambda name: Scope(ScopeKind.HOST, value=name)),
    st.tuples(NAMES, NAMES).map(lambda pair: Scope(ScopeKind.TAG, *pair)),
)
GRANTS = st.lists(st.builds(Grant, st.sampled_from(Role), SCOPES), max_size=4).map(tuple)
TARGETS = st.one_of(
    st.just(FLEET),
    st.builds(Target, NAMES),
    st.builds(Target, NAMES, NAMES, st.dictionaries(NAMES, NAMES)),
)
PERMISSIONS = st.sampled_from(Permission)


def principal(grants: tuple[Grant, ...], limit: tuple[Grant, ...] | None = None) -> Principal:
    return Principal(PrincipalKind.TOKEN, "u", "ann", grants, limit)


@given(GRANTS, GRANTS, PERMISSIONS, TARGETS)
def test_a_token_never_exceeds_its_user_nor_its_limit(
    grants: tuple[Grant, ...], limit: tuple[Grant, ...], permission: Permission, target: Target
) -> None:
    may = principal(grants, limit).may(permission, target)
    assert may == (
        principal(grants).may(permission, target) and principal(limit).may(permission, target)
    )


@given(GRANTS, GRANTS, PERMISSIONS, TARGETS)
def test_a_further_grant_takes_nothing_away(
    grants: tuple[Grant, ...], more: tuple[Grant, ...], permission: Permission, target: Target
) -> None:
    if principal(grants).may(permission, target):
        assert principal(grants + more).may(permission, target)


@given(SCOPES, PERMISSIONS, TARGETS)
def test_a_higher_role_may_all_that_a_lower_one_may(
    within: Scope, permission: Permission, target: Target
) -> None:
    allowed = [Grant(role, within).allows(permission, target) for role in Role]
    assert allowed == sorted(allowed)


@given(GRANTS, PERMISSIONS)
def test_only_the_fleets_scope_reaches_the_fleet(
    grants: tuple[Grant, ...], permission: Permission
) -> None:
    if principal(grants).may(permission) and permission is not Permission.READ:
        assert any(grant.scope == Scope() for grant in grants)


@given(SCOPES)
def test_a_scope_is_read_as_it_is_written(within: Scope) -> None:
    assert scope(str(within)) == within


@pytest.mark.parametrize("text", ["", "host", "host:", "host:a b", "tag:a", "tag:=b", "world"])
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(BadMessage, match="expected fleet, host:ID or tag:NAME=VALUE"):
        scope(text)
