"""The store's process is killed while everybody goes on, and is started again.

It is started after a second, as its supervisor does. Panels fail meanwhile, and at no other time; a
sample that was acknowledged is in the store in the end.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from clickhouse_connect.driver.client import Client

from ingest_http import OURS, SECRET, Ingest, send_requests, wait_until_committed
from ingest_requests import SCRAPE, STEP_S
from novacron_contract.errors import Unavailable
from novacron_store.telemetry.builder import Index
from novacron_store.telemetry.client import connect
from panel_readers import ReadersApart, Seen, panels

_KILLED_AFTER_S = 3  # of sending
_SUPERVISOR_S = 1
_LOOKED_ON_S = 20  # after it is back, at least: each reader asks once or twice
_AWAY_S = 120  # at most
_STORED_S = 120  # after what is committed is as much as what was sent, at most


def measure(
    ingest: Ingest, readers: ReadersApart, scrapes: Path, start: int, first: int, last: int
) -> dict[str, float]:
    """`scrapes` are the fleet's from `start` (Unix seconds) on; those from `first` to `last` - 1
    are sent meanwhile."""
    seen = Seen()
    logging.disable(logging.ERROR)  # the driver's, of a store that is away
    with ThreadPoolExecutor(1) as sender, readers.looking(seen):
        sent = sender.submit(send_requests, ingest, scrapes, first, last)
        time.sleep(_KILLED_AFTER_S)
        if sent.done():
            raise SystemExit("\nall was acknowledged before the store was killed")
        killed = time.monotonic()
        os.kill(ingest.store.pid, signal.SIGKILL)
        time.sleep(_SUPERVISOR_S)
        ingest.start_store()
        back = _answers_again(ingest, start + first * STEP_S)
        sent.result()
        sql = connect(ingest.url, user="service", password=SECRET, timeout=300)
        wait_until_committed(sql, last)
        time.sleep(max(0.0, back + _LOOKED_ON_S - time.monotonic()))
    at_no_time = [one for one in seen.failures if one.ended < killed or one.began > back]
    for failure in at_no_time[:5]:
        print(f"{failure.began - killed:.1f} s: {failure.what}", file=sys.stderr)
    figures = {
        "back_after_kill_s": back - killed,
        "failed_while_away": len(seen.failures) - len(at_no_time),
        "errors_after_kill": len(at_no_time),
        "lost_after_kill": _lost(sql, start, last),
    }
    sql.close()
    return figures


def _answers_again(ingest: Ingest, now: float) -> float:
    """When every panel was answered once."""
    service = partial(connect, ingest.url, user="service", password=SECRET)
    deadline = time.monotonic() + _AWAY_S
    for panel in panels(now).values():
        while True:
            try:
                client = service()
                panel(client, Index(), "vm-00001")
                client.close()
                break
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
    return time.monotonic()


def _lost(sql: Client, start: int, scrapes: int) -> int:
    """Samples of the first `scrapes` that are not in the store; what is there twice counts once."""
    deadline = time.monotonic() + _STORED_S
    while True:
        lost = scrapes * SCRAPE - _stored(sql, start, start + scrapes * STEP_S)
        if lost <= 0 or time.monotonic() > deadline:
            return lost
        time.sleep(1)


def _stored(sql: Client, start: int, end: int) -> int:
    """Five minutes at a time: it takes memory to know what is there twice."""
    counted = (
        f"SELECT count() FROM samples WHERE {OURS} "
        "AND ts >= toDateTime64({start:UInt32}, 3, 'UTC') "
        "AND ts < toDateTime64({end:UInt32}, 3, 'UTC')"
    )
    return sum(
        int(sql.query(counted, parameters={"start": at, "end": at + 300}).result_rows[0][0])
        for at in range(start // 300 * 300, end, 300)
    )
