"""Operations, commands, schedules and the brake in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from novacron_collector.api import parameters
from novacron_collector.api.openapi_access import VIEWERS
from novacron_collector.api.operations import MAX_VERSION, MAX_WAIT_S
from novacron_collector.api.schedules import MAX_NAME as MAX_SCHEDULE_NAME
from novacron_collector.api.schemas import (
    COUNT,
    FLAG,
    NUMBER,
    TEXT,
    TIME,
    Schema,
    enum,
    exactly,
    ref,
)
from novacron_collector.commands.request import (
    MAX_NAME,
    MAX_REASON,
    MAX_STEPS,
    MAX_TAGS,
    MAX_VMS,
)
from novacron_contract.access import Permission
from novacron_contract.commands import Effect, State, Verb
from novacron_contract.metrics import VmState
from novacron_store.state.commands import Stage

_SHORT: Schema = {**TEXT, "maxLength": parameters.MAX_TEXT}
NAME: Schema = {**TEXT, "minLength": 1, "maxLength": MAX_NAME}
_WHY: Schema = {**TEXT, "maxLength": MAX_REASON}
OBJECT: Schema = {"type": "object"}
_ORDERED = enum(verb for verb in Verb if verb is not Verb.CREATE)  # that is POST /v1/vms
_USERS: list[dict[str, list[str]]] = [{"bearer": []}]


def command_paths() -> dict[str, dict[str, Any]]:
    return {
        "/v1/operations": {
            "get": get(
                "Operations, the newest first",
                *(ref("Operations"), *_PAGING, _query("state", enum(Stage), "only these")),
            ),
            "post": change(
                "Ask for an operation over VMs; with dry_run only its plan",
                *(ref("OperationDetail"), KEY),
                body="NewOperation",
                status="201",
                more={
                    "200": {"oneOf": [ref("Plan"), ref("OperationDetail")]},
                },
            ),
        },
        "/v1/operations/{operation_id}": {
            "get": get("One operation; held until it changes", ref("OperationDetail"), *_HELD)
        },
        "/v1/operations/{operation_id}/cancel": {
            "post": change("Begin nothing more of it", ref("OperationDetail"), _REASON)
        },
        "/v1/commands": {
            "get": get("Commands, the newest first", ref("Commands"), *_PAGING, *_COMMANDS)
        },
        "/v1/commands/{command_id}": {
            "get": get("One command and its history", ref("CommandDetail"))
        },
        "/v1/verbs": {"get": get("What can be ordered", exactly(verbs=_list(ref("Verb"))))},
        "/v1/brake": {
            "get": get("Whether commands are held back", ref("Brake")),
            "put": change("Hold all commands back, or no longer", ref("Brake"), body="NewBrake"),
        },
        "/v1/schedules": {
            "get": get("Schedules", ref("Schedules"), *_PAGING),
            "post": change(
                "Ask for an operation later, or again and again",
                *(ref("Schedule"), _REASON),
                body="NewSchedule",
                status="201",
            ),
        },
        "/v1/schedules/{schedule_id}": {
            "get": get("One schedule", ref("Schedule")),
            "patch": change("Pause or resume it", ref("Schedule"), _REASON, body="Pause"),
            "delete": change("Delete it", exactly(), _REASON),
        },
    }


def command_schemas() -> dict[str, Schema]:
    return {
        "Step": exactly(**_STEP, undo=or_null(exactly(**_STEP, undo={"type": "null"}))),
        "NewStep": {
            **exactly(verb=_ORDERED, arguments=OBJECT, undo=_NEW_STEP),
            "required": ["verb"],
        },
        "Targets": {"oneOf": _TARGETS},
        "NewOperation": {**exactly(**NEW), "required": ["targets"]},
        "Operation": exactly(**_OPERATION),
        "OperationDetail": exactly(
            **_OPERATION,
            targets={"oneOf": [*_TARGETS, exactly(new=_NEW_NAMES)]},
            expect=_list(enum(VmState)),
            commands=exactly(**{state.value: COUNT for state in State}),
        ),
        "Operations": _page("operations", "Operation"),
        "Plan": exactly(
            dry_run=FLAG,
            steps=_list(ref("Step")),
            total=COUNT,
            destructive=FLAG,
            confirm=or_null(TEXT),
            vms=_list(ref("PlannedVm")),
        ),
        "PlannedVm": exactly(
            id={**or_null(TEXT), "description": "of a VM that is not there yet: null"},
            name=TEXT,
            host=ref("HostName"),
            state=or_null(enum(VmState)),
            sensible={**or_null(FLAG), "description": "whether the verb makes sense in its state"},
            problem=or_null(TEXT),
        ),
        **_command_schemas(),
        **_schedule_schemas(),
    }


def _command_schemas() -> dict[str, Schema]:
    event = exactly(at=TIME, state=enum(State), text=TEXT)
    return {
        "Command": exactly(**_COMMAND),
        "CommandDetail": exactly(**_COMMAND, events=_list(event)),
        "Commands": _page("commands", "Command"),
        "Verb": exactly(
            verb=enum(Verb),
            summary=TEXT,
            effect=enum(Effect),
            permission=enum(Permission),
            sensible_in=_list(enum(VmState)),
            destructive=FLAG,
            timeout_s=NUMBER,
            arguments=_list(
                exactly(
                    name=TEXT,
                    summary=TEXT,
                    required=FLAG,
                    default={"type": ["number", "string", "boolean", "object"]},
                    minimum=or_null(NUMBER),
                    maximum=or_null(NUMBER),
                    choices=_list(TEXT),
                )
            ),
        ),
        "Brake": exactly(held=FLAG, since=or_null(TIME), by=TEXT, reason=TEXT),
        "NewBrake": {**exactly(held=FLAG, reason=_WHY), "required": ["held"]},
    }


def _schedule_schemas() -> dict[str, Schema]:
    return {
        "Schedule": exactly(
            id=TEXT,
            name=TEXT,
            owner=TEXT,
            created=TIME,
            operation=ref("NewOperation"),
            cron=or_null(TEXT),
            zone=TEXT,
            paused=FLAG,
            next_runs=_list(TIME),
            last_run=or_null(TIME),
            last_operation=or_null(TEXT),
            problem=TEXT,
            runs=COUNT,
            skipped=COUNT,
        ),
        "Schedules": _page("schedules", "Schedule"),
        "NewSchedule": {
            **exactly(
                name={**TEXT, "minLength": 1, "maxLength": MAX_SCHEDULE_NAME},
                operation=ref("NewOperation"),
                cron={**TEXT, "description": "minute hour day month weekday"},
                zone={**TEXT, "default": "UTC", "description": "such as Europe/Berlin"},
                at={**_SHORT, "description": "once, in place of cron: RFC 3339"},
            ),
            "required": ["name", "operation"],
        },
        "Pause": exactly(paused=FLAG),
    }


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


def _page(name: str, schema: str) -> Schema:
    return exactly(**{name: _list(ref(schema))}, total=COUNT, limit=COUNT, offset=COUNT)


_NEW_STEP: Schema = {
    "oneOf": [
        {**exactly(verb=_ORDERED, arguments=OBJECT), "required": ["verb"]},
        {"type": "null"},
    ],
    "description": "done when a later step does not succeed",
}
_STATES: Schema = {"oneOf": [enum(VmState), _list(enum(VmState))]}
_SELECT: Schema = {
    **exactly(
        host={**NAME, "description": "id or name"},
        name={**NAME, "description": "a pattern such as web-*"},
        tags={
            "type": "object",
            "additionalProperties": NAME,
            "maxProperties": MAX_TAGS,
        },
        state=_STATES,
    ),
    "required": [],
    "minProperties": 1,
}
_TARGETS: list[Schema] = [
    exactly(vms={**_list(NAME), "minItems": 1, "maxItems": MAX_VMS}),
    exactly(select=_SELECT),
]
_NEW_NAMES = exactly(name=TEXT, count=COUNT, first=COUNT, host=or_null(TEXT))
_STEP = {"verb": enum(Verb), "arguments": OBJECT}
NEW: dict[str, Schema] = {
    "verb": _ORDERED,
    "arguments": OBJECT,
    "steps": {**_list(ref("NewStep")), "minItems": 1, "maxItems": MAX_STEPS},
    "targets": ref("Targets"),
    "expect": {**_STATES, "description": "in another state a VM is left alone"},
    "reason": _WHY,
    "ttl": {
        **{"type": "number", "minimum": 1, "maximum": 604800, "default": 3600},
        "description": "seconds within which each step has to begin",
    },
    "timeout": {
        **{"type": ["number", "null"], "minimum": 1, "maximum": 86400},
        "description": "seconds from a step's beginning; default: the verb's",
    },
    "dry_run": {**FLAG, "default": False},
    "confirm": {
        "type": ["string", "integer", "null"],
        "description": "of what is destructive: the VM's name, or the number of VMs",
    },
    "max_parallel": {
        **{"type": ["integer", "null"], "minimum": 1, "maximum": MAX_VMS},
        "description": "VMs under way at a time",
    },
    "max_per_minute": {"type": ["integer", "null"], "minimum": 1, "maximum": 1_000_000},
    "stop_after_failures": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_VMS},
}
_OPERATION: dict[str, Schema] = {
    "id": TEXT,
    "state": enum(Stage),
    "version": COUNT,
    "total": {**COUNT, "description": "commands"},
    "ended": COUNT,
    "succeeded": COUNT,
    "failures": COUNT,
    "issuer": TEXT,
    "source": TEXT,
    "schedule": or_null(TEXT),
    "created": TIME,
    "finished": or_null(TIME),
    "reason": TEXT,
    "problem": TEXT,
    "steps": _list(ref("Step")),
    "max_parallel": or_null(COUNT),
    "max_per_minute": or_null(COUNT),
    "stop_after_failures": or_null(COUNT),
}
_COMMAND: dict[str, Schema] = {
    "id": TEXT,
    "operation": TEXT,
    "step": COUNT,
    "undoes": FLAG,
    "vm": exactly(id=TEXT, name=TEXT),
    "host": TEXT,
    "agent": TEXT,
    "verb": enum(Verb),
    "arguments": OBJECT,
    "state": enum(State),
    "late": {**or_null(enum(State)), "description": "reported after the record was closed"},
    "share": or_null({**NUMBER, "description": "done, 0 to 1"}),
    "text": TEXT,
    "error": TEXT,
    "detail": OBJECT,
    "cancelling": FLAG,
    "deliveries": COUNT,
    "timeout_s": NUMBER,
    **dict.fromkeys(("created",), TIME),
    **dict.fromkeys(("expires", "delivered", "begun", "ended"), or_null(TIME)),
}
_PAGING = (
    _query("limit", {"type": "integer", "minimum": 1, "maximum": 5000, "default": 500}, "rows"),
    _query("offset", {"type": "integer", "minimum": 0, "default": 0}, "rows left out before"),
)
_COMMANDS = (
    _query("operation", _SHORT, "id"),
    _query("vm", _SHORT, "id"),
    _query("host", _SHORT, "id"),
    _query("verb", enum(Verb), "only these"),
    _query("state", enum(State), "only these"),
)
_HELD = (
    _query(
        "after",
        {"type": "integer", "minimum": 0, "maximum": MAX_VERSION},
        "the version that is known: it is answered when there is another",
    ),
    _query(
        "wait",
        {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_S, "default": 0},
        "seconds to wait for that",
    ),
)
_REASON = _query("reason", _SHORT, "why, for the audit")
KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {**TEXT, "pattern": "^[A-Za-z0-9_.:-]{1,128}$"},
    "description": "the same again is not done again; kept for a week at least",
}


def get(summary: str, answer: Schema, *query: Schema) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": list(query),
        "security": VIEWERS,
        "content": _json(answer),
    }


def change(
    summary: str,
    answer: Schema,
    *query: Schema,
    body: str = "",
    status: str = "200",
    more: dict[str, Schema] | None = None,
) -> dict[str, Any]:
    made = {**get(summary, answer, *query), "security": _USERS, "status": status}
    if more:
        made["more"] = {
            code: {"description": "OK", "content": _json(of)} for code, of in more.items()
        }
    if body:
        made["requestBody"] = {"required": True, "content": _json(ref(body))}
    return made


def _json(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
