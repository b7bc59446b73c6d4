"""Agents' identities: an admin sees, renames and revokes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, request

from novacron_collector.api import parameters
from novacron_collector.api.guard import needs, on_record
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage
from novacron_store.state.identities import Certificate, Identity, Standing

LONGEST_NAME = 253
LONGEST_REASON = 512


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("identities", __name__, url_prefix="/v1/identities")
    identities, now = services.enrolment.identities, services.enrolment.now

    @bp.get("")
    @needs(Permission.ADMINISTER)
    def every() -> dict[str, Any]:
        parameters.allow({"limit", "offset"})
        page, known = parameters.page(), identities.all()
        return {
            "identities": [shown(one) for one in known[page.offset : page.offset + page.limit]],
            "total": len(known),
            "limit": page.limit,
            "offset": page.offset,
        }

    @bp.get("/<agent_id>")
    @needs(Permission.ADMINISTER)
    def one(agent_id: str) -> dict[str, Any]:
        parameters.allow(())
        identity = identities.identity(agent_id)
        certificates = [_certificate(one) for one in identities.certificates(agent_id)]
        return {**shown(identity), "certificates": certificates}

    @bp.patch("/<agent_id>")
    @needs(Permission.ADMINISTER)
    def rename(agent_id: str) -> dict[str, Any]:
        parameters.allow({"reason"})
        name = _name(request.get_json(silent=True))
        entry = on_record().entry("agent.rename", f"agent:{agent_id}", name=name)
        return shown(identities.rename(agent_id, name, entry))

    @bp.post("/<agent_id>/revoke")
    @needs(Permission.ADMINISTER)
    def revoke(agent_id: str) -> dict[str, Any]:
        parameters.allow(())
        reason = _reason(request.get_json(silent=True))
        by = replace(on_record(), reason=reason)
        entry = by.entry("agent.revoke", f"agent:{agent_id}")
        told = reason or f"by {by.principal.name}"
        return shown(identities.end(agent_id, Standing.REVOKED, told, now(), entry))

    return bp


def shown(identity: Identity) -> dict[str, Any]:
    return {
        "agent_id": identity.agent_id,
        "host_id": identity.host_id,
        "name": identity.name,
        "version": identity.version,
        "standing": identity.standing,
        "reason": identity.reason,
        "joined": identity.joined,
        "joined_by": identity.joined_by,
        "joined_from": identity.joined_from,
        "ended": identity.ended,
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    return {
        "serial": certificate.serial,
        "issued": certificate.issued,
        "used": certificate.used,
        "ends": certificate.ends,
    }


def _name(body: Any) -> str:
    match body:
        case {"name": str(name), **rest} if not rest:
            if name.isprintable() and 0 < len(name) <= LONGEST_NAME:
                return name
            raise BadMessage(f"name: expected 1 to {LONGEST_NAME} printable characters")
    raise BadMessage('expected JSON such as {"name": "kvm-7"}')


def _reason(body: Any) -> str:
    match body:
        case {"reason": str(reason), **rest} if not rest:
            if len(reason) <= LONGEST_REASON and (reason.isprintable() or not reason):
                return reason
            raise BadMessage(f"reason: expected at most {LONGEST_REASON} printable characters")
        case {**rest} if not rest:
            return ""
    raise BadMessage('expected JSON such as {"reason": "sold"}')
