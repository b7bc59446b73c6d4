"""Room on the store's disk.

chDB does not say that a write failed, as when the disk gets full while a part is written: all is
well, it says, and the part cannot be read. But it counts them. So an insert begins with so much
room, and is believed if nothing failed to be written, in whatever part, since it began.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.client import Client

from novacron_contract.errors import Unavailable

_ROOM = 128 * 2**20
ONLY_WITH_ROOM = {"min_free_disk_bytes_to_perform_insert": str(_ROOM)}  # settings of an insert
# Of one server: behind a balancer, another one may answer.
_FAILED = (
    "SELECT hostName(), sum(value) FROM system.events "
    "WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'"
)
_FREE = "SELECT free_space FROM system.disks WHERE name = 'default'"

_AFTER = f"SELECT * FROM ({_FREE}) AS disk, ({_FAILED}) AS events"


@contextmanager
def written(client: Client) -> Iterator[None]:
    """What is inserted inside is there afterwards.

    Raises:
        Unavailable: it may be lost.
    """
    host, before = client.query(_FAILED).result_rows[0]
    yield
    [(free, now_host, now)] = client.query(_AFTER).result_rows
    if free < _ROOM or (host == now_host and now != before):
        raise Unavailable("the telemetry store's disk got full: No space left on device")
