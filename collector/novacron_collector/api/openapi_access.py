"""Users, tokens, sessions and the audit in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from novacron_collector.api import audit, parameters, tokens
from novacron_collector.api.schemas import COUNT, FLAG, TEXT, TIME, Schema, enum, exactly, ref
from novacron_contract.access import Permission, PrincipalKind, Role
from novacron_store.state import Outcome
from novacron_store.state.granting import MOST_GRANTS
from novacron_store.state.passwords import LONGEST, SHORTEST

SECURITY: dict[str, Schema] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "an API token (nct_…), or a session (nvs_…) from POST /v1/sessions; without "
        "either, somebody on the collector's own machine is a viewer",
    }
}
ANYBODY: list[dict[str, list[str]]] = []
VIEWERS: list[dict[str, list[str]]] = [{"bearer": []}, {}]
_USERS: list[dict[str, list[str]]] = [{"bearer": []}]

_SHORT: Schema = {**TEXT, "maxLength": parameters.MAX_TEXT}
_HEAD: Schema = {**TEXT, "pattern": "^[0-9]{1,15}:[0-9a-f]{64}$"}
_OFFSET: Schema = {"type": "integer", "minimum": 0, "maximum": 10_000_000, "default": 0}
_NULL: Schema = {"type": "null"}
_GRANTS: Schema = {"type": "array", "items": ref("Grant"), "maxItems": MOST_GRANTS}
_LIMIT: Schema = {
    "oneOf": [_GRANTS, _NULL],
    "description": "at most these; null: all of the user's",
}
_TIME_OR_NULL: Schema = {"oneOf": [TIME, _NULL]}
_PASSWORD: Schema = {
    **TEXT,
    "minLength": SHORTEST,
    "maxLength": LONGEST,
    "description": f"at most {LONGEST} bytes, and not the name",
}


def access_paths() -> dict[str, dict[str, Any]]:
    return {
        "/v1/sessions": {
            "post": {
                **operation("Log in", ref("Session"), body="Login", status="201"),
                "security": ANYBODY,
            },
            "delete": operation("Log out", exactly()),
        },
        "/v1/self": {
            "get": {
                **operation("Who you are, and what you may", ref("Self")),
                "security": VIEWERS,
            }
        },
        "/v1/users": {
            "get": operation("Users", ref("Users"), *PAGING),
            "post": operation("Add a user", ref("User"), REASON, body="NewUser", status="201"),
        },
        "/v1/users/{name}": {
            "get": operation("One user", ref("User")),
            "patch": operation("Change a user", ref("User"), REASON, body="UserChange"),
            "delete": operation("Remove a user", exactly(), REASON),
        },
        "/v1/tokens": {
            "get": operation("Your API tokens; an admin's are all", ref("Tokens"), *PAGING),
            "post": operation(
                "Make a token: its secret is told this once",
                *(ref("MadeToken"), REASON),
                body="NewToken",
                status="201",
            ),
        },
        "/v1/tokens/{token_id}": {"delete": operation("Revoke a token", exactly(), REASON)},
        "/v1/audit": {"get": operation("Who did what, the newest first", ref("Audit"), *_AUDIT)},
        "/v1/audit/verify": {
            "get": operation(
                "Whether every row of the audit is as it was written",
                *(ref("Verified"), _query("head", _HEAD, "of an earlier answer: still there?")),
            )
        },
    }


def access_schemas() -> dict[str, Schema]:
    return {**_user_schemas(), **_token_schemas(), **_audit_schemas()}


def _user_schemas() -> dict[str, Schema]:
    return {
        "Grant": {
            **exactly(
                role=enum(Role),
                scope={
                    **_SHORT,
                    "pattern": r"^(fleet|host:\S+|tag:[^=\s]+=.+)$",
                    "description": "fleet, host:ID or tag:NAME=VALUE; without it the fleet",
                },
            ),
            "required": ["role"],
        },
        "Login": exactly(name=_SHORT, password={**TEXT, "format": "password"}),
        "Session": exactly(token=TEXT, name=TEXT, idle_s={"type": "number"}, expires=TIME),
        "Self": exactly(
            kind=enum(PrincipalKind),
            name=TEXT,
            grants=_GRANTS,
            limit=_LIMIT,
            permissions={"type": "array", "items": enum(Permission)},
        ),
        "User": exactly(id=TEXT, name=TEXT, created=TIME, disabled=_TIME_OR_NULL, grants=_GRANTS),
        "Users": page("users", "User"),
        "NewUser": {
            **exactly(
                name={**TEXT, "pattern": "^[a-z0-9][a-z0-9._@-]{0,63}$"},
                password=_PASSWORD,
                grants=_GRANTS,
            ),
            "required": ["name", "password"],
        },
        "UserChange": {
            **exactly(grants=_GRANTS, disabled=FLAG, password=_PASSWORD, old_password=TEXT),
            "required": [],
            "minProperties": 1,
            "description": "your own password needs the old one; all else is an admin's",
        },
    }


def _token_schemas() -> dict[str, Schema]:
    return {
        "Token": exactly(**_TOKEN),
        "Tokens": page("tokens", "Token"),
        "MadeToken": exactly(**_TOKEN, token=TEXT),
        "NewToken": {
            **exactly(
                name={**TEXT, "minLength": 1, "maxLength": tokens.LONGEST_NAME},
                grants=_LIMIT,
                days={
                    "oneOf": [
                        {"type": "number", "exclusiveMinimum": 0, "maximum": tokens.LONGEST_DAYS},
                        _NULL,
                    ]
                },
            ),
            "required": ["name"],
        },
    }


def _audit_schemas() -> dict[str, Schema]:
    return {
        "Audit": exactly(
            rows={"type": "array", "items": ref("AuditRow")},
            before={
                "oneOf": [COUNT, _NULL],
                "description": "ask with it for what is older; null: nothing is",
            },
        ),
        "AuditRow": exactly(
            seq=COUNT,
            at=TIME,
            actor=exactly(kind=TEXT, id=TEXT, name=TEXT),
            **dict.fromkeys(("token_id", "action", "target", "source", "reason"), TEXT),
            outcome=TEXT,
            detail={"type": "object"},
            hash=TEXT,
        ),
        "Verified": exactly(whole=FLAG, head=TEXT, bad_seq={"oneOf": [COUNT, _NULL]}, problem=TEXT),
    }


_TOKEN: dict[str, Schema] = {
    "id": TEXT,
    "user": TEXT,
    "name": TEXT,
    "shown": {**TEXT, "description": "its first characters"},
    "grants": _LIMIT,
    "created": TIME,
    "expires": _TIME_OR_NULL,
    "last_used": _TIME_OR_NULL,
}


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


REASON = _query("reason", _SHORT, "why, for the audit")
PAGING = (
    _query("limit", {"type": "integer", "minimum": 1, "maximum": 5000, "default": 500}, "rows"),
    _query("offset", _OFFSET, "rows left out before"),
)
_AUDIT = (
    _query("actor", _SHORT, "the name of a user"),
    _query("action", _SHORT, "such as user.create, or user for all of these"),
    _query("target", _SHORT, "such as user:ann"),
    _query("outcome", enum(Outcome), "only these"),
    _query("from", _SHORT, "RFC 3339, now, or relative: -15m, -7d"),
    _query("to", _SHORT, "the same"),
    _query(
        "before", {"type": "integer", "minimum": 0, "maximum": 999_999_999}, "older than this seq"
    ),
    _query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": audit.MOST_ROWS, "default": 100},
        "rows",
    ),
)


def page(name: str, schema: str) -> Schema:
    rows = {"type": "array", "items": ref(schema)}
    return exactly(**{name: rows}, total=COUNT, limit=COUNT, offset=COUNT)


def operation(
    summary: str, answer: Schema, *query: Schema, body: str = "", status: str = "200"
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "summary": summary,
        "parameters": list(query),
        "security": _USERS,
        "status": status,
        "content": {"application/json": {"schema": answer}},
    }
    if body:
        content = {"application/json": {"schema": ref(body)}}
        made["requestBody"] = {"required": True, "content": content}
    return made
