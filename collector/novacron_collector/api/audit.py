"""GET the audit, the newest rows first; GET whether every row is as it was written."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

from flask import Blueprint

from novacron_collector.api import parameters
from novacron_collector.api.guard import needs
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage, TooMany
from novacron_store.state import Head, Outcome
from novacron_store.state.audit import Wanted
from novacron_store.state.audit_chain import Row

MOST_ROWS = 1000
_FILTERS = frozenset({"actor", "action", "target", "outcome", "from", "to", "before", "limit"})


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("audit", __name__, url_prefix="/v1/audit")
    audit = services.access.audit
    verifying = threading.Lock()

    @bp.get("")
    @needs(Permission.ADMINISTER)
    def every() -> dict[str, Any]:
        parameters.allow(_FILTERS)
        limit = parameters.whole("limit", 100, minimum=1, maximum=MOST_ROWS)
        before = parameters.whole("before", 0, minimum=0, maximum=999_999_999) or None
        rows = audit.rows(_wanted(services), before=before, limit=limit)
        more = len(rows) == limit and rows[-1].seq > 1
        return {"rows": [_shown(row) for row in rows], "before": rows[-1].seq if more else None}

    @bp.get("/verify")
    @needs(Permission.ADMINISTER)
    def verify() -> dict[str, Any]:
        parameters.allow({"head"})
        head = parsed_head(parameters.text("head"))
        if not verifying.acquire(blocking=False):
            raise TooMany("the audit is being verified already: try again")
        try:
            found = audit.verify(head)
        finally:
            verifying.release()
        return {
            "whole": found.bad_seq is None,
            "head": str(found.head),
            "bad_seq": found.bad_seq,
            "problem": found.problem,
        }

    return bp


def parsed_head(text: str | None) -> Head | None:
    """
    Raises:
        BadMessage: it is not what was shown as a head.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,15}):([0-9a-f]{64})", text)
    if match is None:
        raise BadMessage("head: expected SEQ:HASH, as an earlier answer has it")
    return Head(int(match[1]), match[2])


def _wanted(services: Services) -> Wanted:
    now = services.now()
    since, until = parameters.text("from"), parameters.text("to")
    return Wanted(
        actor=parameters.text("actor"),
        action=parameters.text("action"),
        target=parameters.text("target"),
        outcome=parameters.choice("outcome", tuple(Outcome)),
        since=parameters.moment_of("from", since, now) if since else None,
        until=parameters.moment_of("to", until, now) if until else None,
    )


def _shown(row: Row) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "at": row.at,
        "actor": {"kind": row.actor_kind, "id": row.actor_id, "name": row.actor_name},
        "token_id": row.token_id,
        "action": row.action,
        "target": row.target,
        "source": row.source,
        "reason": row.reason,
        "outcome": row.outcome,
        "detail": _detail(row.detail),
        "hash": row.hash,
    }


def _detail(text: str) -> Any:
    """As it was written, even if somebody changed it since: that is for `verify` to find."""
    try:
        return json.loads(text)
    except ValueError:
        return {"unreadable": text}
