"""What several folders of tests share; each folder's own fixtures are in its conftest.py."""

pytest_plugins = [
    "browser",
    "lab_hosts",
    "novacron_up",
    "state_engines",
    "store_process",
    "collector_process",  # after the store, which it imports
]
