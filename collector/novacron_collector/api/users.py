"""Users: an admin lists, adds, changes and removes them; anybody changes their own password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, request

from novacron_collector.access.access import Access
from novacron_collector.api import granting, parameters
from novacron_collector.api.guard import account, caller, needs, on_record, person, require
from novacron_collector.api.services import Services
from novacron_contract.access import Grant, Permission
from novacron_contract.errors import BadMessage
from novacron_store.state import Change, User
from novacron_store.state.passwords import check_password

_ADD = 'expected JSON such as {"name": "ann", "password": "…", "grants": [{"role": "viewer"}]}'
_CHANGE = "expected JSON with some of grants, disabled, password and old_password"
_TYPES = {"grants": list, "disabled": bool, "password": str, "old_password": str}


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a PATCH asks for; None: as it was."""

    grants: tuple[Grant, ...] | None
    disabled: bool | None
    password: str | None
    old_password: str | None


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("users", __name__, url_prefix="/v1/users")
    access = services.access

    @bp.get("")
    @needs(Permission.ADMINISTER)
    def every() -> dict[str, Any]:
        parameters.allow({"limit", "offset"})
        return _page(access.users.all())

    @bp.post("")
    @needs(Permission.ADMINISTER, person=True)
    def add() -> tuple[dict[str, Any], int]:
        parameters.allow({"reason"})
        name, password, grants = _new(request.get_json(silent=True))
        kept = access.login.hashed(password)
        return _shown(access.users.add(name, kept, grants, on_record())), 201

    @bp.get("/<name>")
    @account
    def one(name: str) -> dict[str, Any]:
        parameters.allow(())
        if name != caller().principal.name:
            require(Permission.ADMINISTER)
        return _shown(access.users.user(name))

    @bp.patch("/<name>")
    @person  # with a stolen token nobody makes themselves a way in that outlives it
    def change(name: str) -> dict[str, Any]:
        parameters.allow({"reason"})
        wish = _wish(request.get_json(silent=True))
        _check(access, name, wish)
        kept = access.login.hashed(wish.password) if wish.password is not None else None
        wanted = Change(wish.grants, wish.disabled, kept)
        changed = access.users.change(name, wanted, on_record())
        access.remembered.forget()
        if wish.disabled or wish.grants is not None:
            why = "its issuer was disabled" if wish.disabled else "its issuer's grants changed"
            services.commands.cancel_all_of(on_record(), changed.id, why)
        return _shown(changed)

    @bp.delete("/<name>")
    @needs(Permission.ADMINISTER)
    def remove(name: str) -> dict[str, Any]:
        parameters.allow({"reason"})
        user_id = access.users.user(name).id
        access.users.remove(name, on_record())
        access.remembered.forget()
        services.commands.cancel_all_of(on_record(), user_id, "its issuer was removed")
        return {}

    return bp


def _page(users: list[User]) -> dict[str, Any]:
    page = parameters.page()
    return {
        "users": [_shown(user) for user in users[page.offset : page.offset + page.limit]],
        "total": len(users),
        "limit": page.limit,
        "offset": page.offset,
    }


def _check(access: Access, name: str, wish: _Wish) -> None:
    """Of oneself the password alone, and that with the old one: a session that somebody found open
    is no way to keep the account."""
    principal = caller().principal
    own = name == principal.name
    if not own or wish.grants is not None or wish.disabled is not None:
        require(Permission.ADMINISTER)
    if wish.password is None:
        return
    check_password(wish.password, name)
    if own:
        if wish.old_password is None:
            raise BadMessage("old_password: missing: it is your own password that you change")
        access.check_password(caller(), wish.old_password)


def _new(body: Any) -> tuple[str, str, tuple[Grant, ...]]:
    match body:
        case {"name": str(name), "password": str(password), **rest} if set(rest) <= {"grants"}:
            check_password(password, name)
            return name, password, granting.parsed(rest.get("grants", []))
    raise BadMessage(_ADD)


def _wish(body: Any) -> _Wish:
    if not isinstance(body, dict) or not body:
        raise BadMessage(_CHANGE)
    if set(body) - set(_TYPES):
        raise BadMessage(_CHANGE)
    if any(not isinstance(value, _TYPES[name]) for name, value in body.items()):
        raise BadMessage(_CHANGE)
    grants = granting.parsed(body["grants"]) if "grants" in body else None
    passwords = body.get("password"), body.get("old_password")
    return _Wish(grants, body.get("disabled"), *passwords)


def _shown(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "created": user.created,
        "disabled": user.disabled,
        "grants": granting.shown(user.grants),
    }
