"""The state database of the collector that runs from a data folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from novacron_cli.collector_file import read
from novacron_cli.up.data_folder import DataFolder
from novacron_store.state import open_state


@contextmanager
def opened(data: DataFolder) -> Iterator[Engine]:
    """Nothing is read or made yet.

    Raises:
        ConfigError: the collector's settings name no database that can be.
    """
    state = open_state(read(data.config("collector")).state.url)
    try:
        yield state
    finally:
        state.dispose()
