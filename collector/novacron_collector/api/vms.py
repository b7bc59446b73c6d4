"""GET the VMs, or one of them with its newest values and its history; POST new ones, as an
operation; GET what their spec is."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from novacron_collector.api import operations, parameters
from novacron_collector.api.fleet import Fleet
from novacron_collector.api.guard import needs
from novacron_collector.api.listing import PAGING, listed
from novacron_collector.api.services import Services
from novacron_collector.commands import new_vms
from novacron_contract import vm_spec
from novacron_contract.access import Permission
from novacron_contract.errors import NotFound
from novacron_contract.metrics import VmState
from novacron_store.telemetry.queries import latest

SORTABLE = (
    "name",
    "state",
    "last_seen",
    "cpu_utilization",
    "memory_usage",
    "network_receive",
    "network_transmit",
    "disk_read",
    "disk_write",
)


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("vms", __name__, url_prefix="/v1")

    @bp.get("/vm-spec")
    @needs(Permission.READ)
    def spec() -> dict[str, Any]:
        parameters.allow(())
        return vm_spec.schema()

    @bp.post("/vms")
    @needs(Permission.VM_MANAGE, somewhere=True)
    def create() -> tuple[dict[str, Any], int]:
        parameters.allow(())
        asked = new_vms.parse(request.get_json(silent=True))
        return operations.answered(services, asked)

    @bp.get("/vms")
    @needs(Permission.READ)
    def every() -> dict[str, Any]:
        parameters.allow(PAGING | {"host", "state", "deleted"})
        host, state = parameters.text("host"), parameters.choice("state", list(VmState))
        rows = [
            row
            for row in Fleet.look(services, live=True, deleted=_deleted()).vm_rows()
            if (host is None or host in row["host"].values())
            and (state is None or row["state"] == state)
        ]
        return listed("vms", rows, SORTABLE)

    @bp.get("/vms/<path:id_or_name>")
    @needs(Permission.READ)
    def one(id_or_name: str) -> dict[str, Any]:
        parameters.allow(())
        vm = services.inventory.vm(id_or_name)
        fleet = Fleet.look(services, live=True, deleted=vm.deleted is not None)
        row = next((row for row in fleet.vm_rows() if row["id"] == vm.id), None)
        if row is None:
            raise NotFound(f"no VM has the id {vm.id!r} any more")
        names = fleet.host_names()
        periods = [
            {
                "since": period.since,
                "until": period.until,
                "name": period.name,
                "host": {"id": period.host_id, "name": names.get(period.host_id, period.host_id)},
            }
            for period in services.inventory.history(vm.id)
        ]
        client = services.telemetry()
        borders = services.index.progress(client).borders
        metrics = latest(client, vm.id, services.now(), borders)
        return {**row, "resource": vm.resource, "metrics": metrics, "history": periods}

    return bp


def _deleted() -> bool:
    return parameters.choice("deleted", ("false", "true")) == "true"
