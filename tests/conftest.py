"""What several folders of tests share; each folder's own fixtures are in its conftest.py."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

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


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """What runs side by side is files; but labs look for each other's traces: one after the other.

    xdist's `loadgroup` would do it, but under pytest 9.2 it does nothing.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = nodeid.partition("::")[0]
        return "lab" if "lab" in re.split("[/_.]", file) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)
