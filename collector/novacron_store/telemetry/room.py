"""Room on the store's disk.

chDB 4.4 does not notice that a disk gets full while it writes a part: it says that all is well, and
the rows are lost. An insert begins with so much room, and is believed with so much after it.
"""

from __future__ import annotations

from clickhouse_connect.driver.client import Client

from novacron_contract.errors import Unavailable

_ROOM = 128 * 2**20
ONLY_WITH_ROOM = {"min_free_disk_bytes_to_perform_insert": str(_ROOM)}  # settings of an insert
_FREE = "SELECT free_space FROM system.disks WHERE name = 'default'"


def require_room(client: Client) -> None:
    """
    Raises:
        Unavailable: what was inserted just now may be lost.
    """
    if client.query(_FREE).result_rows[0][0] < _ROOM:
        raise Unavailable("the telemetry store's disk got full: No space left on device")
