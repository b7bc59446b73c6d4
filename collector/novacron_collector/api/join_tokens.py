"""Tokens by which agents join: an admin makes, sees and deletes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from flask import Blueprint, request

from novacron_collector.api import parameters
from novacron_collector.api.guard import needs, on_record
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage

LONGEST_NAME = 128
LONGEST_S = 30 * 86400
DEFAULT_S = 3600
MOST_USES = 10_000
_EXPECTED = 'expected JSON such as {"name": "rack 4", "seconds": 3600, "uses": 1, "address": "H:P"}'


@dataclass(frozen=True, slots=True)
class _Wish:
    name: str
    seconds: float
    uses: int
    address: str | None


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("join_tokens", __name__, url_prefix="/v1/join-tokens")
    enrolment = services.enrolment
    tokens = enrolment.join_tokens

    @bp.get("")
    @needs(Permission.ADMINISTER)
    def every() -> dict[str, Any]:
        parameters.allow({"limit", "offset"})
        page, known = parameters.page(), tokens.all()
        return {
            "join_tokens": [asdict(one) for one in known[page.offset : page.offset + page.limit]],
            "total": len(known),
            "limit": page.limit,
            "offset": page.offset,
        }

    @bp.post("")
    @needs(Permission.ADMINISTER)
    def create() -> tuple[dict[str, Any], int]:
        parameters.allow({"reason"})
        wish = _wish(request.get_json(silent=True))
        address, now = enrolment.address_of(wish.address), enrolment.now()
        expires = now + timedelta(seconds=wish.seconds)
        token, secret = tokens.create(wish.name, on_record(), now, expires, wish.uses)
        return {**asdict(token), "line": enrolment.line(secret, address)}, 201

    @bp.delete("/<token_id>")
    @needs(Permission.ADMINISTER)
    def delete(token_id: str) -> dict[str, Any]:
        parameters.allow({"reason"})
        tokens.delete(token_id, on_record())
        return {}

    return bp


def _wish(body: Any) -> _Wish:
    match body:
        case {**rest} if set(rest) <= {"name", "seconds", "uses", "address"}:
            name, address = rest.get("name", ""), rest.get("address")
            if not isinstance(name, str) or len(name) > LONGEST_NAME:
                raise BadMessage(f"name: expected text of at most {LONGEST_NAME} characters")
            if address is not None and not isinstance(address, str):
                raise BadMessage("address: expected HOST:PORT")
            return _Wish(name, _seconds(rest), _uses(rest), address)
    raise BadMessage(_EXPECTED)


def _seconds(body: Mapping[Any, Any]) -> float:
    seconds = body.get("seconds", DEFAULT_S)
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 1 <= seconds <= LONGEST_S:
        raise BadMessage(f"seconds: expected 1 to {LONGEST_S}")
    return float(seconds)


def _uses(body: Mapping[Any, Any]) -> int:
    uses = body.get("uses", 1)
    if not isinstance(uses, int) or isinstance(uses, bool) or not 1 <= uses <= MOST_USES:
        raise BadMessage(f"uses: expected 1 to {MOST_USES}")
    return uses
