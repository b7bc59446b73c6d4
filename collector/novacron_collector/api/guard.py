"""What each route needs of who asks. There is no app with a route that does not say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from flask import Flask, g, request

from novacron_collector.access.access import Access
from novacron_collector.api import parameters
from novacron_contract.access import FLEET, Permission, PrincipalKind, Target
from novacron_contract.errors import Refused
from novacron_store.state import Caller

View = TypeVar("View", bound=Callable[..., Any])
_KEY = "novacron_need"


@dataclass(frozen=True, slots=True)
class Need:
    """`account`: a user or a user's token; `person`: a user who logged in."""

    public: bool = False
    permission: Permission | None = None
    somewhere: bool = False
    account: bool = False
    person: bool = False


def needs(
    permission: Permission, *, somewhere: bool = False, person: bool = False
) -> Callable[[View], View]:
    """For the fleet; or `somewhere`, and the view asks `require` for every target. `person`: by a
    session, and no token's."""
    return _declared(
        Need(permission=permission, somewhere=somewhere, account=person, person=person)
    )


def public(view: View) -> View:
    """Anybody, and nobody is asked who they are."""
    return _declared(Need(public=True))(view)


def known(view: View) -> View:
    """Whoever is let in at all."""
    return _declared(Need())(view)


def account(view: View) -> View:
    """Any user, and any token."""
    return _declared(Need(account=True))(view)


def person(view: View) -> View:
    """Any user, and no token: what it makes would outlive or exceed it."""
    return _declared(Need(account=True, person=True))(view)


def caller() -> Caller:
    """Who made this request."""
    made_by: Caller = g.caller
    return made_by


def on_record() -> Caller:
    """The same, with the reason that the query string gives."""
    return replace(caller(), reason=parameters.text("reason") or "")


def require(permission: Permission, target: Target = FLEET) -> None:
    """
    Raises:
        Refused: who made this request may not; that goes on record.
    """
    access: Access = g.access
    access.require(caller(), permission, target)


def need_of(view: Callable[..., Any]) -> Need | None:
    need: Need | None = getattr(view, _KEY, None)
    return need


def guard(app: Flask, access: Access) -> None:
    """After the last route is registered.

    Raises:
        TypeError: a route does not say what it needs.
    """
    for rule in app.url_map.iter_rules():
        if need_of(app.view_functions[rule.endpoint]) is None:
            raise TypeError(f"{rule.rule}: say what it needs: @needs(...), below its route")

    def check() -> None:
        if request.routing_exception is not None or request.endpoint is None:
            return  # it answers 404, 405 or 400
        need = need_of(app.view_functions[request.endpoint])
        if need is None:
            raise Refused(f"{request.endpoint}: it does not say what it needs")
        if not need.public:
            g.access = access
            g.caller = access.caller(_authorization(), request.remote_addr or "")
            _check(access, need)

    app.before_request(check)


def _authorization() -> str | None:
    return request.headers.get("Authorization")


def _check(access: Access, need: Need) -> None:
    kind = caller().principal.kind
    if need.account and kind not in (PrincipalKind.USER, PrincipalKind.TOKEN):
        access.refuse(caller(), str(request.endpoint), "this is an account's")
    if need.person and kind is not PrincipalKind.USER:
        access.refuse(caller(), str(request.endpoint), "no token may: log in, and do it yourself")
    if need.permission is None:
        return
    if need.somewhere:
        access.require_somewhere(caller(), need.permission, str(request.endpoint))
    else:
        access.require(caller(), need.permission)


def _declared(need: Need) -> Callable[[View], View]:
    def declare(view: View) -> View:
        setattr(view, _KEY, need)
        return view

    return declare
