"""Samples into both stores: as time goes by into ours, which rolls them up, and what they take."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from clickhouse_connect.driver.client import Client

from merges import wait_for_merges
from novacron_store.telemetry import schema
from novacron_store.telemetry.migrations import migrate
from novacron_store.telemetry.rollups import Roller
from novacron_store.telemetry.schema import HOUR_S, WINDOW_S
from novacron_store.telemetry.writer import LATENESS_S, write
from store_machines import Described, Machines, describe
from store_servers import Peer, Store, Used, get

_AFTER_AN_HOUR_S = 600  # it is closed by then


def begin(store: Store, machines: Described) -> None:
    migrate(store.client)
    write(store.client, describe(machines), "described", _time(machines.start // 1000))


def fill(store: Store, machines: Machines) -> float:
    """Samples per CPU second of writing them, rolling them up, and all that follows from it: all
    windows are gathered, and all hours closed."""
    batches = list(machines.batches())
    used = Used(store.process)
    for end, batch in batches:
        write(store.client, batch, str(end), _time(end))
        if end % WINDOW_S == 0:
            Roller(store.client).run(_time(end + LATENESS_S))
    Roller(store.client).run(_time(batches[-1][0] + _AFTER_AN_HOUR_S))
    wait_for_merges(store.client)
    return machines.samples / (used.ms() / 1000)


def fill_open_hour(store: Store, machines: Machines) -> None:
    """As it is at the end of the samples: windows are gathered whose stragglers had their time, the
    newest samples are arrivals, and the hour is not closed.

    Raises:
        SystemExit: it is otherwise.
    """
    for end, batch in machines.batches():
        write(store.client, batch, str(end), _time(end))
        if end % WINDOW_S == 0:
            Roller(store.client).run(_time(end))
    wait_for_merges(store.client)
    end = machines.end // 1000
    expected = {WINDOW_S: (end - LATENESS_S) // WINDOW_S * WINDOW_S, HOUR_S: end // HOUR_S * HOUR_S}
    rows = store.client.query(
        f"SELECT resolution, toUnixTimestamp(max(upto)) FROM {schema.ROLLED} "
        f"WHERE resolution IN ({WINDOW_S}, {HOUR_S}) GROUP BY resolution"
    ).result_rows
    if {row[0]: row[1] for row in rows} != expected:
        raise SystemExit(f"\nthe open hour is gathered and closed up to {rows}, not {expected}")


def bytes_per_sample(client: Client, samples: int) -> dict[str, float]:
    """On disk, when parts are merged; arrivals that are still there do not count."""
    for table in (schema.BLOCKS, schema.TIMES, schema.BUCKETS_5M, schema.BUCKETS_1H):
        client.command(f"OPTIMIZE TABLE {table} FINAL")
    rows = client.query(
        "SELECT table, sum(bytes_on_disk) FROM system.parts "
        "WHERE active AND database = currentDatabase() GROUP BY table"
    ).result_rows
    sizes: dict[str, int] = {row[0]: row[1] for row in rows}
    raw = sizes[schema.BLOCKS] + sizes[schema.TIMES]
    rolled = sizes[schema.BUCKETS_5M] + sizes[schema.BUCKETS_1H]
    return {
        "bytes_per_sample": raw / samples,
        "bytes_per_sample_total": (raw + rolled) / samples,
    }


def import_to(peer: Peer, machines: Machines) -> None:
    for lines in machines.lines():
        get(f"{peer.url}/api/v1/import", "\n".join(map(json.dumps, lines)).encode())
    get(f"{peer.url}/internal/force_flush")
    get(f"{peer.url}/internal/force_merge")
    get(f"{peer.url}/internal/resetRollupResultCache")
    time.sleep(10)


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)
