"""When ClickHouse has nothing left to do.

It is asked rarely: an answer costs it 7 ms of CPU, which count as if ingest had taken them.
"""

from __future__ import annotations

import time

from clickhouse_connect.driver.client import Client


def wait_for_merges(client: Client) -> None:
    """Until none has run for a second: ClickHouse looks for the next one in a moment."""
    quiet = 0
    while quiet < 2:
        time.sleep(0.5)
        merging = client.query("SELECT count() FROM system.merges").result_rows[0][0]
        quiet = 0 if merging else quiet + 1
