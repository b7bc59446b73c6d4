"""GET which metrics there are, and a chart of one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from flask import Blueprint, request

from novacron_collector.api import parameters
from novacron_collector.api.guard import needs
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_contract.errors import BadMessage, NotFound
from novacron_store.telemetry.queries import ChartQuery, catalog, chart
from novacron_store.telemetry.queries.charts import Aggregate

MAX_POINTS = 5000
MAX_FILTERS = 20
_FILTER = "filter."


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("metrics", __name__, url_prefix="/v1")

    @bp.get("/metrics")
    @needs(Permission.READ)
    def known() -> dict[str, Any]:
        parameters.allow(())
        return {"metrics": catalog(services.telemetry())}

    @bp.get("/query")
    @needs(Permission.READ)
    def query() -> dict[str, Any]:
        asked, client = _asked(services), services.telemetry()
        answer = chart(client, asked, services.index)
        return {"entity": asked.entity, "from": asked.start, "to": asked.end, **asdict(answer)}

    return bp


def _asked(services: Services) -> ChartQuery:
    names = ("metric", "entity", "from", "to", "max_points", "aggregate")
    parameters.allow(names, prefix=_FILTER)
    now = services.now()
    start, end = parameters.moment("from", "-1h", now), parameters.moment("to", "now", now)
    if start >= end:
        raise BadMessage("from: must be before `to`")
    return ChartQuery(
        metric=parameters.required("metric"),
        entity=_entity(services, parameters.required("entity")),
        start=start,
        end=end,
        max_points=parameters.whole("max_points", 500, minimum=2, maximum=MAX_POINTS),
        filters=_filters(),
        aggregate=Aggregate(parameters.choice("aggregate", list(Aggregate)) or Aggregate.AVG),
    )


def _entity(services: Services, named: str) -> str:
    """A VM's or a host's name stands for its id; what is neither is an entity itself."""
    found: list[str] = []
    for find in (services.inventory.vm, services.inventory.host):
        with suppress(NotFound):
            found.append(find(named).id)
    return named if named in found or not found else found[0]


def _filters() -> dict[str, str]:
    asked = {name for name in request.args if name.startswith(_FILTER)}
    if len(asked) > MAX_FILTERS:
        raise BadMessage(f"{_FILTER}NAME: at most {MAX_FILTERS} filters")
    return {name.removeprefix(_FILTER): parameters.text(name) or "" for name in asked}
