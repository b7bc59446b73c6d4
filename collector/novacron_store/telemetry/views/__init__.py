"""The tables people and components see. They hide how samples are stored, and their comments say
what is in them: `SHOW TABLES`, `DESCRIBE vm_cpu`."""

from __future__ import annotations

from novacron_store.telemetry.views.descriptions import DESCRIPTIONS
from novacron_store.telemetry.views.machines import MACHINES
from novacron_store.telemetry.views.metrics import METRICS
from novacron_store.telemetry.views.points import POINTS
from novacron_store.telemetry.views.view import View

# In an order that respects who reads whom.
VIEWS: tuple[View, ...] = (*POINTS, *DESCRIPTIONS, *METRICS, *MACHINES)


def statements() -> list[str]:
    """What creates or replaces every view."""
    return [view.sql for view in VIEWS]
