"""GET the agents: who reports, how far off each clock is."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from novacron_collector.api import parameters
from novacron_collector.api.fleet import Fleet
from novacron_collector.api.guard import needs
from novacron_collector.api.services import Services
from novacron_contract.access import Permission


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("agents", __name__, url_prefix="/v1/agents")

    @bp.get("")
    @needs(Permission.READ)
    def every() -> dict[str, Any]:
        parameters.allow({"limit", "offset"})
        page, rows = parameters.page(), Fleet.look(services, live=False).agent_rows()
        return {
            "agents": rows[page.offset : page.offset + page.limit],
            "total": len(rows),
            "limit": page.limit,
            "offset": page.offset,
        }

    return bp
