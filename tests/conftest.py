"""What several folders of tests share; each folder's own fixtures are in its conftest.py."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "browser",
    "lab_hosts",
    "novacron_up",
    "state_engines",
    "store_process",
    "collector_process",  # after the store, which it imports
]

# A busy machine is no defect: what is found counts, not how long it took.
settings.register_profile("novacron", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("novacron")
