"""Operations: what somebody asks for over VMs, planned, begun, followed and cancelled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, request

from novacron_collector.api import parameters
from novacron_collector.api.guard import caller, needs, require
from novacron_collector.api.services import Services
from novacron_collector.commands.planning import Plan
from novacron_collector.commands.request import Request, parse
from novacron_contract.access import Permission, Target
from novacron_contract.commands import VERBS, State
from novacron_contract.errors import BadMessage
from novacron_store.state.commands import Operation, Stage, summary

MAX_WAIT_S = 60
MAX_VERSION = 999_999_999
_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("operations", __name__, url_prefix="/v1/operations")
    commands = services.commands

    @bp.get("")
    @needs(Permission.READ)
    def every() -> dict[str, Any]:
        parameters.allow({"limit", "offset", "state"})
        page, state = parameters.page(), parameters.choice("state", list(Stage))
        found, total = commands.listing.operations(page.limit, page.offset, state)
        shown_ones = [shown(of) for of in found]
        return {
            "operations": shown_ones,
            "total": total,
            "limit": page.limit,
            "offset": page.offset,
        }

    @bp.post("")
    @needs(Permission.VM_POWER, somewhere=True)
    def create() -> tuple[dict[str, Any], int]:
        parameters.allow(())
        return answered(services, parse(request.get_json(silent=True)))

    @bp.get("/<operation_id>")
    @needs(Permission.READ)
    def one(operation_id: str) -> dict[str, Any]:
        """`after` and `wait` are held to before the request comes here: see held.py."""
        parameters.allow({"after", "wait"})
        parameters.whole("after", 0, minimum=0, maximum=MAX_VERSION)
        parameters.whole("wait", 0, minimum=0, maximum=MAX_WAIT_S)
        return _detail(services, commands.operations.one(operation_id))

    @bp.post("/<operation_id>/cancel")
    @needs(Permission.VM_POWER, somewhere=True)
    def cancel(operation_id: str) -> dict[str, Any]:
        parameters.allow({"reason"})
        of, by = commands.operations.one(operation_id), caller()
        if of.issuer_id != by.principal.id or by.principal.limit is not None:
            _require_all(services, of)
        by = replace(by, reason=parameters.text("reason") or "")
        return _detail(services, commands.cancel(by, operation_id))

    return bp


def answered(services: Services, asked: Request) -> tuple[dict[str, Any], int]:
    """The plan of what is asked for, or the operation that it has become."""
    by = replace(caller(), reason=asked.reason)
    if asked.dry_run:
        return planned(asked, services.commands.plan(by, asked)), 200
    added = services.commands.submit(by, asked, _key())
    return _detail(services, added.operation), 201 if added.is_new else 200


def shown(of: Operation) -> dict[str, Any]:
    return {
        **summary(of),
        "issuer": of.issuer_name,
        "source": of.source,
        "schedule": of.schedule_id or None,
        "created": of.created,
        "finished": of.finished,
        "reason": of.reason,
        "problem": of.problem,
        "steps": [step.as_json() for step in of.steps],
        "max_parallel": of.max_parallel,
        "max_per_minute": of.max_per_minute,
        "stop_after_failures": of.stop_after_failures,
    }


def planned(asked: Request, plan: Plan) -> dict[str, Any]:
    return {
        "dry_run": True,
        "steps": [step.as_json() for step in asked.steps],
        "total": len(plan.vms),
        "destructive": plan.destructive,
        "confirm": plan.confirm,
        "vms": [
            {
                "id": None if asked.new else one.vm.id,
                "name": one.vm.name,
                "host": {"id": one.vm.host_id, "name": one.host_name},
                "state": one.state,
                "sensible": None if one.state is None else _is_sensible(asked, one.state),
                "problem": one.problem or None,
            }
            for one in plan.vms
        ],
    }


def _is_sensible(asked: Request, state: Any) -> bool:
    return state in VERBS[asked.steps[0].verb].sensible_in


def _detail(services: Services, of: Operation) -> dict[str, Any]:
    counts = services.commands.listing.counts(of.id)
    commands = {state.value: counts.get(state.value, 0) for state in State}
    return {**shown(of), "targets": of.targets, "expect": list(of.expect), "commands": commands}


def _key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise BadMessage("Idempotency-Key: expected 1 to 128 letters, digits, _ . : or -")
    return key


def _require_all(services: Services, of: Operation) -> None:
    """Whoever may act on all of its VMs may cancel what another asked for."""
    listing, inventory = services.commands.listing, services.inventory
    tags: dict[str, Mapping[str, str]] = {}
    tags |= {one.vm_id: one.labels for one in listing.coming(of.id)}
    tags |= {vm.id: vm.resource for vm in [*inventory.vms(deleted=True), *inventory.vms()]}
    tags |= {one.vm_id: one.labels for one in listing.coming()}  # nobody's claim before that
    every = [*of.steps, *(step.undo for step in of.steps if step.undo)]
    permissions: Iterable[Permission] = {VERBS[step.verb].permission for step in every}
    for vm_id, host_id in services.commands.listing.targets(of.id):
        for permission in permissions:
            require(permission, Target(host_id, vm_id, tags.get(vm_id, {})))
