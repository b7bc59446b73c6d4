"""GET commands, each with its history, and the verbs there are; the fleet's brake."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, request

from novacron_collector.api import parameters
from novacron_collector.api.guard import caller, needs
from novacron_collector.api.services import Services
from novacron_collector.commands.request import MAX_REASON
from novacron_contract.access import Permission
from novacron_contract.commands import VERBS, Argument, State, Verb, VerbSpec
from novacron_contract.errors import BadMessage
from novacron_store.state.commands import Command


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("commands", __name__, url_prefix="/v1")
    commands = services.commands

    @bp.get("/commands")
    @needs(Permission.READ)
    def every() -> dict[str, Any]:
        parameters.allow({"limit", "offset", "operation", "vm", "host", "verb", "state"})
        page = parameters.page()
        found, total = commands.listing.commands(
            page.limit,
            page.offset,
            operation_id=parameters.text("operation"),
            vm_id=parameters.text("vm"),
            host_id=parameters.text("host"),
            verb=parameters.choice("verb", list(Verb)),
            state=parameters.choice("state", list(State)),
        )
        rows = [_shown(of) for of in found]
        return {"commands": rows, "total": total, "limit": page.limit, "offset": page.offset}

    @bp.get("/commands/<command_id>")
    @needs(Permission.READ)
    def one(command_id: str) -> dict[str, Any]:
        parameters.allow(())
        of, events = commands.listing.command(command_id)
        return {**_shown(of), "events": events}

    @bp.get("/verbs")
    @needs(Permission.READ)
    def verbs() -> dict[str, Any]:
        parameters.allow(())
        return {"verbs": [_verb(spec) for spec in VERBS.values()]}

    @bp.get("/brake")
    @needs(Permission.READ)
    def brake() -> dict[str, Any]:
        parameters.allow(())
        return asdict(commands.brakes.now())

    @bp.put("/brake")
    @needs(Permission.ADMINISTER)
    def set_brake() -> dict[str, Any]:
        parameters.allow(())
        held, reason = _brake(request.get_json(silent=True))
        return asdict(commands.set_brake(caller(), held, reason))

    return bp


def _shown(of: Command) -> dict[str, Any]:
    return {
        "id": of.id,
        "operation": of.operation_id,
        "step": of.step,
        "undoes": of.undoes,
        "vm": {"id": of.vm_id, "name": of.vm_name},
        "host": of.host_id,
        "agent": of.identity_id,
        "verb": of.verb,
        "arguments": of.arguments,
        "state": of.state,
        "late": of.late or None,
        "share": of.share,
        "text": of.text,
        "error": of.error,
        "detail": of.detail,
        "cancelling": of.cancelling,
        "deliveries": of.deliveries,
        "timeout_s": of.timeout_s,
        "created": of.created,
        "expires": of.expires,
        "delivered": of.delivered,
        "begun": of.begun,
        "ended": of.ended,
    }


def _verb(spec: VerbSpec) -> dict[str, Any]:
    return {
        "verb": spec.verb,
        "summary": spec.summary,
        "effect": spec.effect,
        "permission": spec.permission,
        "sensible_in": sorted(spec.sensible_in),
        "destructive": spec.destructive,
        "timeout_s": spec.timeout_s,
        "arguments": [_argument(name, of) for name, of in spec.arguments.items()],
    }


def _argument(name: str, of: Argument) -> dict[str, Any]:
    return {
        "name": name,
        "summary": of.summary,
        "required": of.is_required,
        "default": of.default,
        "minimum": of.minimum,
        "maximum": of.maximum,
        "choices": of.choices,
    }


def _brake(body: Any) -> tuple[bool, str]:
    match body:
        case {"held": bool(held), **rest} if set(rest) <= {"reason"}:
            reason = rest.get("reason", "")
            if isinstance(reason, str) and len(reason) <= MAX_REASON:
                return held, reason
    raise BadMessage('expected JSON such as {"held": true, "reason": "a storm"}')
