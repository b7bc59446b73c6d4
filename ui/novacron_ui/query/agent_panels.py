"""The panels of a host's agent: what it takes of the host, and how measuring and sending go."""

from __future__ import annotations

from typing import Any

from novacron_contract.collector_metrics import REASON
from novacron_ui.query.panels import Panel

_OWN = "novacron.agent."
_SOURCE, _DESTINATION = "novacron.source", "novacron.destination"


def _panel(id_: str, title: str, metric: str, unit: str, *labels: str, **more: Any) -> Panel:
    return Panel(id_, title, (metric,), unit, labels=labels, **more)


# Their ids differ from those of the host's own panels, which are on the same page.
AGENT_PANELS = (
    _panel("agent-cpu", "CPU of the agent", "process.cpu.time", "s", "cpu.mode", is_rate=True),
    _panel("agent-memory", "Memory of the agent", "process.memory.usage", "By"),
    _panel("agent-scrape", "Duration of a scrape", f"{_OWN}scrape.duration", "s", _SOURCE),
    _panel(
        "agent-errors",
        "Failed scrapes",
        f"{_OWN}scrape.errors",
        "{error}",
        _SOURCE,
        is_rate=True,
        quiet="No scrape failed",
    ),
    _panel(
        "agent-age",
        "Longest wait to be sent",
        f"{_OWN}spool.age",
        "s",
        _DESTINATION,
        quiet="Nothing waited",
    ),
    Panel(
        "agent-lost",
        "Points lost or refused",
        (f"{_OWN}spool.dropped", f"{_OWN}export.dropped"),
        "{point}",
        is_rate=True,
        labels=(REASON, _DESTINATION),
        names=("", ""),
        quiet="No point was lost or refused",
    ),
)
