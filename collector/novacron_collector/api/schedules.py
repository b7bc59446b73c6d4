"""Schedules: operations at a time, or again and again."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, request

from novacron_collector.api import granting, parameters
from novacron_collector.api.guard import caller, needs, require
from novacron_collector.api.services import Services
from novacron_collector.commands.planning import confirm
from novacron_collector.commands.request import Request, parse
from novacron_collector.commands.scheduling import check_cron, next_runs, runs
from novacron_contract.access import Permission
from novacron_contract.commands import Verb
from novacron_contract.errors import BadMessage
from novacron_store.state import Caller
from novacron_store.state.commands import Schedule, new_id

MAX_NAME = 128
_EXPECTED = (
    'expected JSON such as {"name": "nightly", "cron": "0 3 * * *", "zone": "Europe/Berlin", '
    '"operation": {…}}, or with "at": "2026-12-24T03:00:00Z" in place of cron'
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FAR = timedelta(days=3660)


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("schedules", __name__, url_prefix="/v1/schedules")
    commands = services.commands
    schedules = commands.schedules

    @bp.get("")
    @needs(Permission.READ)
    def every() -> dict[str, Any]:
        parameters.allow({"limit", "offset"})
        page, now = parameters.page(), commands.now()
        found = schedules.all()
        rows = [_shown(of, now) for of in found[page.offset : page.offset + page.limit]]
        return {
            "schedules": rows,
            "total": len(found),
            "limit": page.limit,
            "offset": page.offset,
        }

    @bp.post("")
    @needs(Permission.VM_POWER, somewhere=True)
    def create() -> tuple[dict[str, Any], int]:
        parameters.allow({"reason"})
        now, by = commands.now(), _on_record()
        new = _new(request.get_json(silent=True), by, now)
        asked = parse(new.body)
        if asked.dry_run:
            raise BadMessage("operation: dry_run: a schedule that does nothing is none")
        _require_named_ones(asked)
        confirm(asked, commands.plan(by, asked))
        schedules.add(new, by.entry("schedule.create", f"schedule:{new.id}", name=new.name))
        return _shown(new, now), 201

    @bp.get("/<schedule_id>")
    @needs(Permission.READ)
    def one(schedule_id: str) -> dict[str, Any]:
        parameters.allow(())
        return _shown(schedules.one(schedule_id), commands.now())

    @bp.patch("/<schedule_id>")
    @needs(Permission.VM_POWER, somewhere=True)
    def change(schedule_id: str) -> dict[str, Any]:
        parameters.allow({"reason"})
        of, now = _own(schedules.one(schedule_id)), commands.now()
        paused = _paused(request.get_json(silent=True))
        following = of.next_run
        if not paused and of.cron:
            following = next(runs(of.cron, of.zone, now), None)
        action = "schedule.pause" if paused else "schedule.resume"
        entry = _on_record().entry(action, f"schedule:{of.id}", name=of.name)
        return _shown(schedules.pause(of.id, paused, following, entry), now)

    @bp.delete("/<schedule_id>")
    @needs(Permission.VM_POWER, somewhere=True)
    def delete(schedule_id: str) -> dict[str, Any]:
        parameters.allow({"reason"})
        of = _own(schedules.one(schedule_id))
        entry = _on_record().entry("schedule.delete", f"schedule:{of.id}", name=of.name)
        schedules.delete(of.id, entry)
        return {}

    return bp


def _on_record() -> Caller:
    return replace(caller(), reason=parameters.text("reason") or "")


def _require_named_ones(asked: Request) -> None:
    """What is deleted later are VMs that were meant when somebody confirmed it: a selection, or a
    name, may be others by then, and labels are what senders of telemetry say.

    Raises:
        BadMessage: it is another selection each time.
    """
    every = [*asked.steps, *(step.undo for step in asked.steps if step.undo)]
    deletes = any(one.verb is Verb.DELETE for one in every)
    if deletes and (asked.vms is None or not all(map(_UUID.fullmatch, asked.vms))):
        raise BadMessage("operation: targets: a schedule deletes VMs that are given by their ids")


def _own(of: Schedule) -> Schedule:
    """One's own, for a token with a limit those made with the same; all of them are an admin's."""
    by = caller().principal
    may_all = by.limit is None or granting.shown(by.limit) == of.limit
    if by.id != of.owner_id or not may_all:
        require(Permission.ADMINISTER)
    return of


def _new(body: Any, by: Caller, now: datetime) -> Schedule:
    match body:
        case {"name": str(name), "operation": dict(operation), **rest} if (
            0 < len(name) <= MAX_NAME
            and set(rest) <= {"cron", "at", "zone"}
            and ("cron" in rest) != ("at" in rest)
            and all(isinstance(of, str) for of in rest.values())
        ):
            cron, zone = str(rest.get("cron", "")), str(rest.get("zone", "UTC"))
            is_cron = "cron" in rest
            first = _first_cron(cron, zone, now) if is_cron else _at(str(rest["at"]), now)
            limit = by.principal.limit
            return Schedule(
                id=new_id(now),
                name=name,
                owner_id=by.principal.id,
                owner_name=by.principal.name,
                limit=None if limit is None else granting.shown(limit),
                created=now,
                body=operation,
                cron=cron,
                zone=zone,
                next_run=first,
            )
    raise BadMessage(_EXPECTED)


def _first_cron(cron: str, zone: str, now: datetime) -> datetime | None:
    check_cron(cron, zone)
    return next(runs(cron, zone, now), None)


def _at(text: str, now: datetime) -> datetime:
    at = parameters.moment_of("at", text, now)
    if not now < at < now + _FAR:
        raise BadMessage("at: expected a time to come, within ten years")
    return at


def _paused(body: Any) -> bool:
    match body:
        case {"paused": bool(paused), **rest} if not rest:
            return paused
    raise BadMessage('expected {"paused": true} or {"paused": false}')


def _shown(of: Schedule, now: datetime) -> dict[str, Any]:
    return {
        "id": of.id,
        "name": of.name,
        "owner": of.owner_name,
        "created": of.created,
        "operation": of.body,
        "cron": of.cron or None,
        "zone": of.zone,
        "paused": of.paused,
        "next_runs": next_runs(of, now),
        "last_run": of.last_run,
        "last_operation": of.last_operation or None,
        "problem": of.problem,
        "runs": of.runs,
        "skipped": of.skipped,
    }
