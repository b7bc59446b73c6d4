"""What several folders of tests share; each folder's own fixtures are in its conftest.py."""

import pytest
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs side by side is files; but all that needs the lab stays together, for one lab."""
    for item in items:
        together = "lab" if item.get_closest_marker("lab") else item.path.as_posix()
        item.add_marker(pytest.mark.xdist_group(together))
