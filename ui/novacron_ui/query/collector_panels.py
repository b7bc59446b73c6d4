"""The panels of the Collector page, in the order of a point's way."""

from __future__ import annotations

from typing import Any

from novacron_contract.collector_metrics import OUTCOME, REASON, TABLE
from novacron_store.telemetry.queries import QUANTILE
from novacron_ui.query.panels import Panel

_OWN = "novacron.collector."


def _panel(id_: str, title: str, metric: str, unit: str, *labels: str, **more: Any) -> Panel:
    return Panel(id_, title, (f"{_OWN}{metric}",), unit, labels=labels, **more)


def _rate(id_: str, title: str, metric: str, unit: str, *labels: str, **more: Any) -> Panel:
    return _panel(id_, title, metric, unit, *labels, is_rate=True, **more)


def _spread(id_: str, title: str, metric: str, unit: str) -> Panel:
    return _panel(id_, title, metric, unit, QUANTILE, quantiles=(0.5, 0.95))


def _process(id_: str, title: str, metric: str, unit: str, *labels: str, **more: Any) -> Panel:
    return Panel(id_, title, (metric,), unit, labels=labels, **more)


COLLECTOR_PANELS = (
    _rate("points", "Points taken", "point.count", "{point}"),
    _rate("requests", "Requests by outcome", "request.count", "{request}", OUTCOME),
    _rate(
        "refused",
        "Refused requests by reason",
        "request.refused",
        "{request}",
        REASON,
        quiet="No request was refused",
    ),
    _rate(
        "rejected",
        "Rejected points by reason",
        "point.rejected",
        "{point}",
        REASON,
        quiet="No point was rejected",
    ),
    _panel("waiting", "Waiting in the log", "log.size", "By"),
    _panel("lag", "Longest wait for the store", "log.lag", "s"),
    _spread("append", "Time to log a group of requests", "log.append.duration", "s"),
    _spread("write", "Time to write a segment to the store", "write.duration", "s"),
    _spread("rows", "Points of a segment", "write.rows", "{point}"),
    _rate(
        "failures",
        "Failed writes",
        "write.failures",
        "{failure}",
        quiet="No write failed",
    ),
    _panel("parts", "Parts in the store by table", "store.parts", "{part}", TABLE),
    _panel("size", "Size of the store by table", "store.size", "By", TABLE),
    _panel("merges", "Merges in the store", "store.merges", "{merge}"),
    _panel("rollups", "Age of the newest 5-minute bucket", "rollup.lag", "s"),
    _panel("series", "Series known", "series", "{series}"),
    _panel("ledger", "Requests remembered", "ledger.entries", "{request}"),
    _process("cpu", "CPU of the collector", "process.cpu.time", "s", "cpu.mode", is_rate=True),
    _process("memory", "Memory of the collector", "process.memory.usage", "By"),
    _panel("loop", "Longest delay of the event loop", "loop.delay", "s"),
    _process("files", "Open files", "process.unix.file_descriptor.count", "{file_descriptor}"),
    _panel("active", "Requests in hand", "request.active", "{request}"),
    _panel("live", "Clients of the live feed", "live.clients", "{client}"),
)
