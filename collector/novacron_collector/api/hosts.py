"""GET the hosts, or one of them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from novacron_collector.api import parameters
from novacron_collector.api.fleet import Fleet
from novacron_collector.api.guard import needs
from novacron_collector.api.listing import PAGING, listed
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_store.telemetry.queries import latest

SORTABLE = ("name", "last_seen", "vms", "cpu_utilization", "memory_usage")


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("hosts", __name__, url_prefix="/v1/hosts")

    @bp.get("")
    @needs(Permission.READ)
    def every() -> dict[str, Any]:
        parameters.allow(PAGING)
        return listed("hosts", Fleet.look(services, live=True).host_rows(), SORTABLE)

    @bp.get("/<path:id_or_name>")
    @needs(Permission.READ)
    def one(id_or_name: str) -> dict[str, Any]:
        parameters.allow(())
        host = services.inventory.host(id_or_name)
        rows = Fleet.look(services, live=True).host_rows()
        row = next(row for row in rows if row["id"] == host.id)
        client = services.telemetry()
        borders = services.index.progress(client).borders
        metrics = latest(client, host.id, services.now(), borders)
        return {**row, "resource": host.resource, "metrics": metrics}

    return bp
