"""POST a name and a password for a session, DELETE it; GET who you are, and what you may."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from novacron_collector.access.access import permissions
from novacron_collector.api import granting, parameters
from novacron_collector.api.forwarded import VIA
from novacron_collector.api.guard import caller, known, person, public
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("sessions", __name__)
    access = services.access

    @bp.post("/v1/sessions")
    @public
    def begin() -> tuple[dict[str, Any], int]:
        parameters.allow(())
        name, password = _parse(request.get_json(silent=True))
        via = request.environ.get("asgi.scope", {}).get(VIA, "")
        user, secret = access.log_in(name, password, request.remote_addr or "", via)
        return {
            "token": secret,
            "name": user.name,
            "idle_s": access.sessions.idle.total_seconds(),
            "expires": access.sessions.now() + access.sessions.lifetime,
        }, 201

    @bp.delete("/v1/sessions")
    @person
    def end() -> dict[str, Any]:
        parameters.allow(())
        access.sessions.end(caller())
        access.remembered.forget()
        return {}

    @bp.get("/v1/self")
    @known
    def who() -> dict[str, Any]:
        parameters.allow(())
        principal = caller().principal
        limit = principal.limit
        return {
            "kind": principal.kind.value,
            "name": principal.name,
            "grants": granting.shown(principal.grants),
            "limit": None if limit is None else granting.shown(limit),
            "permissions": [of.value for of in Permission if of in permissions(principal)],
        }

    return bp


def _parse(body: Any) -> tuple[str, str]:
    match body:
        case {"name": str(name), "password": str(password), **rest} if not rest:
            if len(name) > parameters.MAX_TEXT:
                raise BadMessage(f"name: longer than {parameters.MAX_TEXT} characters")
            return name, password
    raise BadMessage('expected JSON such as {"name": "ann", "password": "…"}')
