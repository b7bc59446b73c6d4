"""What several folders of tests share; each folder's own fixtures are in its conftest.py."""

pytest_plugins = ["lab_hosts", "state_engines", "store_process"]
