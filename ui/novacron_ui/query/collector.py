"""The collectors, by what they report of themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from novacron_contract.collector_metrics import COLLECTOR_SERVICE_NAME
from novacron_contract.errors import NotFound
from novacron_contract.metrics import HOST_NAME
from novacron_store.telemetry.builder import Index
from novacron_store.telemetry.queries import Service, figures, services
from novacron_ui.query.collector_panels import COLLECTOR_PANELS
from novacron_ui.query.drawing import Range, draw
from novacron_ui.query.panels import panel

HEARD_WITHIN = timedelta(days=7)  # as long as samples are kept by default
# What the head of the page and its tiles are made of.
HEADLINES = (
    "novacron.collector.point.count",
    "novacron.collector.point.rejected",
    "novacron.collector.request.count",
    "novacron.collector.log.size",
    "novacron.collector.log.limit",
    "novacron.collector.log.lag",
    "process.cpu.time",
    "process.memory.usage",
)
_SHORT_ID = 8


@dataclass(frozen=True, slots=True)
class Instance:
    """One collector. `label` tells it from the others in a list."""

    id: str
    entity: str
    label: str
    host: str
    version: str


@dataclass(frozen=True)
class Collectors:
    telemetry: Callable[[], Client]
    index: Index = field(default_factory=Index)

    def instances(self, now: datetime) -> list[Instance]:
        """Those heard of in the last days, the one heard of last first."""
        metric = "novacron.collector.log.size"
        since = now - HEARD_WITHIN
        return _instances(services(self.telemetry(), COLLECTOR_SERVICE_NAME, metric, since))

    def headlines(self, entity: str, now: datetime) -> dict[str, Any]:
        """The newest figures as [metric, attributes, unix milliseconds, value, rate]."""
        client = self.telemetry()
        borders = self.index.progress(client).borders
        found = figures(client, entity, HEADLINES, now, borders)
        rows = [
            [each.metric, dict(each.attributes), _ms(each.ts), each.value, each.rate]
            for each in found
        ]
        return {"figures": rows}

    def draw(self, entity: str, panel_id: str, over: Range) -> dict[str, Any]:
        """
        Raises:
            NotFound: there is no such panel.
        """
        drawn = panel(COLLECTOR_PANELS, panel_id)
        if drawn is None:
            raise NotFound(f"no panel has the id {panel_id!r}")
        client = self.telemetry()
        return draw(client, drawn, entity, over, self.index)


def _instances(found: Sequence[Service]) -> list[Instance]:
    """Named by their hosts; where several are on one, with the beginnings of their ids."""
    hosts = Counter(service.resource.get(HOST_NAME, "") for service in found)
    return [_instance(service, hosts) for service in found]


def _instance(service: Service, hosts: Counter[str]) -> Instance:
    told = service.resource
    id_, host = told.get("service.instance.id", ""), told.get(HOST_NAME, "")
    label = host or id_
    if hosts[host] > 1 and host:
        label = f"{host} · {id_[:_SHORT_ID]}"
    return Instance(id_, service.entity, label, host, told.get("service.version", ""))


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
