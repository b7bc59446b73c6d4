"""GET how NovaCron itself is doing, and what the operator should know and do."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from flask import Blueprint

from novacron_collector.api import parameters
from novacron_collector.api.fleet import Fleet, by_freshness
from novacron_collector.api.forwarding import forwarding_notices
from novacron_collector.api.guard import needs, public
from novacron_collector.api.notices import notices
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_contract.errors import NotFound, Unavailable
from novacron_store.telemetry.queries import FailingSource, failing_sources
from novacron_store.telemetry.usage import Usage, usage


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("status", __name__)

    @bp.get("/v1/status")
    @needs(Permission.READ)
    def status() -> dict[str, Any]:
        parameters.allow(())
        fleet = Fleet.look(services, live=False)
        stored, problem = _stored(services)
        hosts, agents = fleet.host_rows(), fleet.agent_rows()
        counters = dict(services.counters())
        return {
            "version": services.version,
            "started": services.started,
            "uptime_s": round((fleet.now - services.started).total_seconds(), 1),
            "hosts": by_freshness(hosts),
            "vms": by_freshness(fleet.vm_rows()),
            "agents": by_freshness(agents),
            "telemetry": asdict(stored) if stored else None,
            "counters": counters,
            "notices": notices(
                hosts,
                agents,
                stored,
                problem,
                _failing(services, fleet.now),
                counters,
                forwarding_notices(services.forwarding()),
            ),
        }

    @bp.get("/healthz")
    @public
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @bp.get("/readyz")
    @public
    def readiness() -> dict[str, str]:
        reason = services.not_ready()
        if reason is not None:
            raise Unavailable(reason)
        return {"status": "ready"}

    return bp


def _stored(services: Services) -> tuple[Usage | None, str]:
    """What is stored, and what is wrong: this page answers when the store does not."""
    try:
        return usage(services.telemetry()), services.not_ready() or services.problem() or ""
    except Unavailable as err:
        return None, str(err)


def _failing(services: Services, now: datetime) -> list[FailingSource]:
    try:
        return failing_sources(services.telemetry(), now)
    except (Unavailable, NotFound):  # said already, or nothing was ever stored
        return []
