"""Identities, join tokens and ingest tokens in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from novacron_collector.api import identities, ingest_tokens, join_tokens
from novacron_collector.api.openapi_access import PAGING, REASON, operation, page
from novacron_collector.api.schemas import COUNT, TEXT, TIME, Schema, enum, exactly, ref
from novacron_store.state.identities import Standing

_NULL: Schema = {"type": "null"}
_TIME_OR_NULL: Schema = {"oneOf": [TIME, _NULL]}


def enrolment_paths() -> dict[str, dict[str, Any]]:
    return {
        "/v1/identities": {"get": operation("Agents that joined", ref("Identities"), *PAGING)},
        "/v1/identities/{agent_id}": {
            "get": operation("One of them, and its certificates", ref("IdentityInFull")),
            "patch": operation("Rename it", ref("Identity"), REASON, body="NewName"),
        },
        "/v1/identities/{agent_id}/revoke": {
            "post": operation(
                "Revoke it: within a second nothing is taken from it and no command goes there",
                ref("Identity"),
                body="Revocation",
            )
        },
        "/v1/join-tokens": {
            "get": operation("Tokens by which agents join", ref("JoinTokens"), *PAGING),
            "post": operation(
                "Make one: the line for `novacron-agent join` is told this once",
                *(ref("MadeJoinToken"), REASON),
                body="NewJoinToken",
                status="201",
            ),
        },
        "/v1/join-tokens/{token_id}": {"delete": operation("Delete it", exactly(), REASON)},
        "/v1/ingest-tokens": {
            "get": operation("Tokens of other senders", ref("IngestTokens"), *PAGING),
            "post": operation(
                "Make one: its secret is told this once",
                *(ref("MadeIngestToken"), REASON),
                body="NewIngestToken",
                status="201",
            ),
        },
        "/v1/ingest-tokens/{token_id}": {
            "delete": operation("Revoke it", ref("IngestToken"), REASON)
        },
    }


def enrolment_schemas() -> dict[str, Schema]:
    certificate = exactly(serial=TEXT, issued=TIME, used=_TIME_OR_NULL, ends=TIME)
    certificates = {"type": "array", "items": certificate}
    return {
        "Identity": exactly(**_IDENTITY),
        "IdentityInFull": exactly(**_IDENTITY, certificates=certificates),
        "Identities": page("identities", "Identity"),
        "NewName": exactly(name={**TEXT, "minLength": 1, "maxLength": identities.LONGEST_NAME}),
        "Revocation": {
            **exactly(reason={**TEXT, "maxLength": identities.LONGEST_REASON}),
            "required": [],
        },
        "JoinToken": exactly(**_JOIN_TOKEN),
        "JoinTokens": page("join_tokens", "JoinToken"),
        "MadeJoinToken": exactly(**_JOIN_TOKEN, line=TEXT),
        "NewJoinToken": {
            **exactly(
                name={**TEXT, "maxLength": join_tokens.LONGEST_NAME},
                seconds={
                    "type": "number",
                    "minimum": 1,
                    "maximum": join_tokens.LONGEST_S,
                    "default": join_tokens.DEFAULT_S,
                },
                uses={
                    "type": "integer",
                    "minimum": 1,
                    "maximum": join_tokens.MOST_USES,
                    "default": 1,
                },
                address={**TEXT, "description": "HOST:PORT by which hosts reach this collector"},
            ),
            "required": [],
        },
        "IngestToken": exactly(**_INGEST_TOKEN),
        "IngestTokens": page("ingest_tokens", "IngestToken"),
        "MadeIngestToken": exactly(**_INGEST_TOKEN, token=TEXT),
        "NewIngestToken": {
            **exactly(
                name={**TEXT, "minLength": 1, "maxLength": ingest_tokens.LONGEST_NAME},
                days={
                    "oneOf": [
                        {
                            "type": "number",
                            "exclusiveMinimum": 0,
                            "maximum": ingest_tokens.LONGEST_DAYS,
                        },
                        _NULL,
                    ]
                },
            ),
            "required": ["name"],
        },
    }


_IDENTITY: dict[str, Schema] = {
    "agent_id": TEXT,
    "host_id": {"oneOf": [TEXT, _NULL], "description": "null: its first telemetry will tell"},
    "name": TEXT,
    "version": {**TEXT, "description": "when it joined"},
    "standing": enum(Standing),
    "reason": {**TEXT, "description": "why it is not active"},
    "joined": TIME,
    "joined_by": {**TEXT, "description": "the id of the join token"},
    "joined_from": TEXT,
    "ended": _TIME_OR_NULL,
}
_JOIN_TOKEN: dict[str, Schema] = {
    "id": TEXT,
    "name": TEXT,
    "created": TIME,
    "created_by": TEXT,
    "expires": TIME,
    "uses": COUNT,
    "max_uses": COUNT,
}
_INGEST_TOKEN: dict[str, Schema] = {
    "id": TEXT,
    "name": TEXT,
    "created": TIME,
    "created_by": TEXT,
    "expires": _TIME_OR_NULL,
    "revoked": _TIME_OR_NULL,
    "last_used": _TIME_OR_NULL,
}
