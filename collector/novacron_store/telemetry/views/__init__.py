"""The tables people and components see. They hide how samples are stored, and their comments say
what is in them: `SHOW TABLES`, `DESCRIBE vm_cpu`."""

from __future__ import annotations

from hashlib import sha256

from novacron_store.telemetry.place import HERE, Place
from novacron_store.telemetry.views.descriptions import DESCRIPTIONS
from novacron_store.telemetry.views.machines import MACHINES
from novacron_store.telemetry.views.metrics import METRICS
from novacron_store.telemetry.views.points import POINTS
from novacron_store.telemetry.views.view import View

# In an order that respects who reads whom.
VIEWS: tuple[View, ...] = (*POINTS, *DESCRIPTIONS, *METRICS, *MACHINES)


def statements(place: Place = HERE) -> list[str]:
    """What creates or replaces every view there."""
    return [view.sql(place) for view in VIEWS]


def digest() -> str:
    """Of all of them: another one is recorded where views are to be replaced."""
    return sha256("\n".join(statements()).encode()).hexdigest()
