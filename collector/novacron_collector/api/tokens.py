"""API tokens: everybody makes, sees and revokes their own; an admin sees and revokes all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, request

from novacron_collector.api import granting, parameters
from novacron_collector.api.guard import account, caller, on_record, person
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage, Refused
from novacron_store.state import ApiToken, NewToken

LONGEST_NAME = 128
LONGEST_DAYS = 3650
_EXPECTED = 'expected JSON such as {"name": "ci", "grants": [{"role": "viewer"}], "days": 90}'


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("tokens", __name__, url_prefix="/v1/tokens")
    access = services.access

    @bp.get("")
    @account
    def every() -> dict[str, Any]:
        parameters.allow({"limit", "offset"})
        principal, page = caller().principal, parameters.page()
        is_admin = principal.may(Permission.ADMINISTER)
        tokens = access.tokens.all(None if is_admin else principal.id)
        return {
            "tokens": [_shown(token) for token in tokens[page.offset : page.offset + page.limit]],
            "total": len(tokens),
            "limit": page.limit,
            "offset": page.offset,
        }

    @bp.post("")
    @person
    def create() -> tuple[dict[str, Any], int]:
        parameters.allow({"reason"})
        token, secret = access.tokens.create(
            _new(services, request.get_json(silent=True)), on_record()
        )
        return {**_shown(token), "token": secret}, 201

    @bp.delete("/<token_id>")
    @account
    def revoke(token_id: str) -> dict[str, Any]:
        parameters.allow({"reason"})
        by = on_record()
        is_admin = by.principal.may(Permission.ADMINISTER)
        if by.principal.token_id not in ("", token_id) and not is_admin:
            raise Refused("a token revokes none but itself")
        access.tokens.revoke(token_id, by, of_user=None if is_admin else by.principal.id)
        access.remembered.forget()
        return {}

    return bp


def _new(services: Services, body: Any) -> NewToken:
    match body:
        case {"name": str(name), **rest} if set(rest) <= {"grants", "days"}:
            if not 0 < len(name) <= LONGEST_NAME:
                raise BadMessage(f"name: expected 1 to {LONGEST_NAME} characters")
            given, days = rest.get("grants"), rest.get("days")
            grants = None if given is None else granting.parsed(given)
            expires = None if days is None else services.access.tokens.now() + _days(days)
            return NewToken(name, grants, expires)
    raise BadMessage(_EXPECTED)


def _days(days: Any) -> timedelta:
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days <= LONGEST_DAYS:
        raise BadMessage(f"days: expected a number above 0, {LONGEST_DAYS} at the most")
    return timedelta(days=days)


def _shown(token: ApiToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "user": token.user,
        "name": token.name,
        "shown": token.shown,
        "grants": None if token.grants is None else granting.shown(token.grants),
        "created": token.created,
        "expires": token.expires,
        "last_used": token.last_used,
    }
