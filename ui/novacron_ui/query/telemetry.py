"""The telemetry store, as a web server's threads use it: connected on first use, one client each.

The UI starts while the store is down, and goes on when the store was restarted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from clickhouse_connect.driver.client import Client


@dataclass(frozen=True)
class Telemetry:
    """`open_client` is called once per thread, and again after a failure."""

    open_client: Callable[[], Client]
    _local: threading.local = field(default_factory=threading.local)

    def client(self) -> Client:
        """
        Raises:
            Unavailable: the store does not answer.
        """
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self.open_client()
        return client
