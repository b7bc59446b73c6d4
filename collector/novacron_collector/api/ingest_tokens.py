"""Tokens of senders that are no agents of ours: an admin makes, sees and revokes them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from flask import Blueprint, request

from novacron_collector.api import parameters
from novacron_collector.api.guard import needs, on_record
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage

LONGEST_NAME = 128
LONGEST_DAYS = 3650


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("ingest_tokens", __name__, url_prefix="/v1/ingest-tokens")
    tokens, now = services.enrolment.ingest_tokens, services.enrolment.now

    @bp.get("")
    @needs(Permission.ADMINISTER)
    def every() -> dict[str, Any]:
        parameters.allow({"limit", "offset"})
        page, known = parameters.page(), tokens.all()
        return {
            "ingest_tokens": [asdict(one) for one in known[page.offset : page.offset + page.limit]],
            "total": len(known),
            "limit": page.limit,
            "offset": page.offset,
        }

    @bp.post("")
    @needs(Permission.ADMINISTER)
    def create() -> tuple[dict[str, Any], int]:
        parameters.allow({"reason"})
        name, lasts = _wish(request.get_json(silent=True))
        made = now()
        expires = None if lasts is None else made + lasts
        token, secret = tokens.create(name, on_record(), made, expires)
        return {**asdict(token), "token": secret}, 201

    @bp.delete("/<token_id>")
    @needs(Permission.ADMINISTER)
    def revoke(token_id: str) -> dict[str, Any]:
        parameters.allow({"reason"})
        return asdict(tokens.revoke(token_id, now(), on_record()))

    return bp


def _wish(body: Any) -> tuple[str, timedelta | None]:
    match body:
        case {"name": str(name), **rest} if set(rest) <= {"days"}:
            if not 0 < len(name) <= LONGEST_NAME:
                raise BadMessage(f"name: expected 1 to {LONGEST_NAME} characters")
            days = rest.get("days")
            return name, None if days is None else _days(days)
    raise BadMessage('expected JSON such as {"name": "prometheus", "days": 365}')


def _days(days: Any) -> timedelta:
    if isinstance(days, bool) or not isinstance(days, int | float) or not 0 < days <= LONGEST_DAYS:
        raise BadMessage(f"days: expected a number above 0, {LONGEST_DAYS} at the most")
    return timedelta(days=days)
